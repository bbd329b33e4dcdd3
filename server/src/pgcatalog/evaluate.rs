//! The value of an expression at a row.

use super::function::Call;
use super::object::{cast, text};
use super::plan::*;
use super::run::Runner;
use super::text_function::{like, regex};
use super::value::{Row, Value, compare, key};
use catalog::{Error, ErrorKind, Result};
use std::cmp::Ordering;
use std::sync::Arc;

/// The rows of a query's FROM items; None where an outer join found none.
pub(super) type Tuple = Vec<Option<Arc<Row>>>;

/// Where an expression is evaluated.
#[derive(Clone, Copy)]
pub(super) struct Env<'a> {
    pub tuple: &'a [Option<Arc<Row>>],
    pub aggregates: &'a [Value],
    pub windows: &'a [Value],
    pub sets: &'a [Value],
    pub outer: Option<&'a Env<'a>>,
}

impl<'a> Env<'a> {
    pub(super) fn of(tuple: &'a [Option<Arc<Row>>], outer: Option<&'a Env<'a>>) -> Self {
        Self { tuple, aggregates: &[], windows: &[], sets: &[], outer }
    }
    fn at(&self, depth: usize) -> Option<&Env<'a>> {
        let mut env = self;
        for _ in 0..depth {
            env = env.outer?;
        }
        Some(env)
    }
}

impl Runner<'_> {
    pub(super) fn value(&self, expr: &Expr, env: &Env<'_>) -> Result<Value> {
        Ok(match expr {
            Expr::Const(value) => value.clone(),
            Expr::Parameter(index) => self.parameters.get(*index).cloned().unwrap_or(Value::Null),
            Expr::Column { depth, item, column } => {
                let row = env.at(*depth).and_then(|env| env.tuple.get(*item)).and_then(Option::as_ref);
                row.and_then(|row| row.get(*column)).cloned().unwrap_or(Value::Null)
            }
            Expr::WholeRow { depth, item } => {
                let row = env.at(*depth).and_then(|env| env.tuple.get(*item)).and_then(Option::as_ref);
                row.map_or(Value::Null, |row| Value::Record(row.clone()))
            }
            Expr::Slot(slot, index) => {
                let values = match slot {
                    Slot::Aggregate => env.aggregates,
                    Slot::Window => env.windows,
                    Slot::Set => env.sets,
                };
                values.get(*index).cloned().unwrap_or(Value::Null)
            }
            Expr::Call(function, arguments, types) => {
                let arguments = self.values(arguments, env)?;
                if function.is_strict && arguments.iter().any(Value::is_null) {
                    return Ok(Value::Null);
                }
                (function.call)(&Call { arguments: &arguments, types, catalog: self.catalog })?
            }
            Expr::And(list) => return self.connective(list, env, false),
            Expr::Or(list) => return self.connective(list, env, true),
            Expr::Not(inner) => match self.value(inner, env)? {
                Value::Bool(flag) => Value::Bool(!flag),
                _ => Value::Null,
            },
            Expr::Compare(op, left, right) => {
                let (left, right) = (self.value(left, env)?, self.value(right, env)?);
                compared(*op, &left, &right)?
            }
            Expr::IsDistinct { left, right, negated } => {
                let (left, right) = (self.value(left, env)?, self.value(right, env)?);
                Value::Bool((key(&left) == key(&right)) == *negated)
            }
            Expr::Arithmetic(op, left, right) => arithmetic(*op, &self.value(left, env)?, &self.value(right, env)?)?,
            Expr::Negate(inner) => match self.value(inner, env)? {
                Value::Int(n) => Value::Int(n.wrapping_neg()),
                Value::Float(n) => Value::Float(-n),
                _ => Value::Null,
            },
            Expr::Concat(left, left_type, right, right_type) => {
                let (left, right) = (self.value(left, env)?, self.value(right, env)?);
                self.concat(left, *left_type, right, *right_type)
            }
            Expr::Like { expr, pattern, escape, ignore_case, negated } => {
                match (self.value(expr, env)?, self.value(pattern, env)?) {
                    (Value::Text(value), Value::Text(pattern)) => {
                        Value::Bool(like(&value, &pattern, *escape, *ignore_case)? != *negated)
                    }
                    _ => Value::Null,
                }
            }
            Expr::Regex { expr, pattern, ignore_case, negated } => {
                match (self.value(expr, env)?, self.value(pattern, env)?) {
                    (Value::Text(value), Value::Text(pattern)) => {
                        Value::Bool(regex(&pattern, *ignore_case)?.is_match(&value) != *negated)
                    }
                    _ => Value::Null,
                }
            }
            Expr::IsNull { expr, negated } => Value::Bool(self.value(expr, env)?.is_null() != *negated),
            Expr::IsBool { expr, value, negated } => {
                Value::Bool((self.value(expr, env)? == Value::Bool(*value)) != *negated)
            }
            Expr::InList { expr, list, negated } => {
                let value = self.value(expr, env)?;
                let list = self.values(list, env)?;
                let op = if *negated { Comparison::NotEq } else { Comparison::Eq };
                quantified(op, &value, list.iter(), *negated)?
            }
            Expr::Quantified { op, left, right, all } => {
                let left = self.value(left, env)?;
                match self.value(right, env)? {
                    Value::List(list) => quantified(*op, &left, list.iter(), *all)?,
                    _ => Value::Null,
                }
            }
            Expr::QuantifiedQuery { op, left, query, all } => {
                let left = self.value(left, env)?;
                let rows = self.rows(query, env)?;
                let width = query.columns.len();
                let values: Vec<Value> = rows
                    .rows
                    .iter()
                    .map(|row| if width == 1 { row[0].clone() } else { Value::Record(row.clone()) })
                    .collect();
                quantified(*op, &left, values.iter(), *all)?
            }
            Expr::Case { operand, branches, otherwise } => {
                let operand = operand.as_ref().map(|o| self.value(o, env)).transpose()?;
                for (condition, result) in branches {
                    let condition = self.value(condition, env)?;
                    let holds = match &operand {
                        Some(value) => compared(Comparison::Eq, value, &condition)?.is_true(),
                        None => condition.is_true(),
                    };
                    if holds {
                        return self.value(result, env);
                    }
                }
                return self.value(otherwise, env);
            }
            Expr::Coalesce(list) => {
                for item in list {
                    let value = self.value(item, env)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Value::Null
            }
            Expr::NullIf(left, right) => {
                let (left, right) = (self.value(left, env)?, self.value(right, env)?);
                if compared(Comparison::Eq, &left, &right)?.is_true() { Value::Null } else { left }
            }
            Expr::Cast { expr, from, to, modifier } => {
                cast(self.value(expr, env)?, *from, *to, *modifier, self.catalog)?
            }
            Expr::Scalar(query) => {
                let rows = self.rows(query, env)?;
                match rows.rows.as_slice() {
                    [] => Value::Null,
                    [row] => row.first().cloned().unwrap_or(Value::Null),
                    _ => {
                        return Err(Error::new(
                            ErrorKind::Remote("21000".into()),
                            "more than one row returned by a subquery used as an expression",
                        ));
                    }
                }
            }
            Expr::Exists(query) => Value::Bool(!self.rows(query, env)?.rows.is_empty()),
            Expr::ArrayOf(query) => {
                let rows = self.rows(query, env)?;
                Value::list(rows.rows.iter().filter_map(|row| row.first().cloned()).collect())
            }
            Expr::Index { list, index, first } => {
                let (list, index) = (self.value(list, env)?, self.value(index, env)?);
                let place = index.as_int().and_then(|i| usize::try_from(i - first).ok());
                list.as_list().and_then(|l| l.get(place?)).cloned().unwrap_or(Value::Null)
            }
            Expr::Slice { list, from, to, first } => {
                let list = self.value(list, env)?;
                let Value::List(list) = list else { return Ok(Value::Null) };
                let bound = |e: &Option<Box<Expr>>| -> Result<Option<i64>> {
                    Ok(e.as_ref().map(|e| self.value(e, env)).transpose()?.and_then(|v| v.as_int()))
                };
                let start = bound(from)?.map_or(0, |n| usize::try_from(n - first).unwrap_or(0)).min(list.len());
                let end =
                    bound(to)?.map_or(list.len(), |n| usize::try_from(n - first + 1).unwrap_or(0)).min(list.len());
                Value::list(list.get(start..end.max(start)).unwrap_or(&[]).to_vec())
            }
            Expr::Field(record, place) => match self.value(record, env)? {
                Value::Record(fields) => fields.get(*place).cloned().unwrap_or(Value::Null),
                _ => Value::Null,
            },
            Expr::Array(list) => Value::list(self.values(list, env)?),
            Expr::Record(list) => Value::Record(Arc::new(self.values(list, env)?)),
        })
    }

    pub(super) fn values(&self, exprs: &[Expr], env: &Env<'_>) -> Result<Vec<Value>> {
        exprs.iter().map(|e| self.value(e, env)).collect()
    }

    /// Whether all conditions hold.
    pub(super) fn holds(&self, conditions: &[Expr], env: &Env<'_>) -> Result<bool> {
        for condition in conditions {
            if !self.value(condition, env)?.is_true() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// AND and OR of three-valued logic; `decisive` is the value that decides at once.
    fn connective(&self, list: &[Expr], env: &Env<'_>, decisive: bool) -> Result<Value> {
        let mut is_unknown = false;
        for item in list {
            match self.value(item, env)? {
                Value::Bool(flag) if flag == decisive => return Ok(Value::Bool(decisive)),
                Value::Bool(_) => {}
                _ => is_unknown = true,
            }
        }
        Ok(if is_unknown { Value::Null } else { Value::Bool(!decisive) })
    }

    fn concat(&self, left: Value, left_type: u32, right: Value, right_type: u32) -> Value {
        match (left, right) {
            (Value::List(a), Value::List(b)) => Value::list(a.iter().chain(b.iter()).cloned().collect()),
            // An array and NULL is the array; an array and an item is the longer array.
            (Value::List(a), Value::Null) if super::value::element_of(right_type).is_some() => Value::List(a),
            (Value::Null, Value::List(b)) if super::value::element_of(left_type).is_some() => Value::List(b),
            (Value::List(a), item) => Value::list(a.iter().cloned().chain([item]).collect()),
            (item, Value::List(b)) => Value::list([item].into_iter().chain(b.iter().cloned()).collect()),
            (left, right) => match (text(&left, left_type, self.catalog), text(&right, right_type, self.catalog)) {
                (Some(left), Some(right)) => (left + &right).into(),
                _ => Value::Null,
            },
        }
    }
}

fn compared(op: Comparison, left: &Value, right: &Value) -> Result<Value> {
    if left.is_null() || right.is_null() {
        return Ok(Value::Null);
    }
    match op {
        Comparison::Match { ignore_case, negated } => {
            let (Some(value), Some(pattern)) = (left.as_str(), right.as_str()) else { return Ok(Value::Null) };
            return Ok(Value::Bool(regex(pattern, ignore_case)?.is_match(value) != negated));
        }
        Comparison::Like { ignore_case, negated } => {
            let (Some(value), Some(pattern)) = (left.as_str(), right.as_str()) else { return Ok(Value::Null) };
            return Ok(Value::Bool(like(value, pattern, Some('\\'), ignore_case)? != negated));
        }
        _ => {}
    }
    let Some(order) = compare(left, right) else {
        return Err(Error::new(
            ErrorKind::UndefinedFunction,
            "the values of a comparison have types that do not compare",
        )
        .with_hint("You might need to add explicit type casts."));
    };
    Ok(Value::Bool(match op {
        Comparison::Eq => order == Ordering::Equal,
        Comparison::NotEq => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessEq => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterEq => order != Ordering::Less,
        Comparison::Match { .. } | Comparison::Like { .. } => false,
    }))
}

/// `left op ANY (list)`, or ALL.
fn quantified<'a>(op: Comparison, left: &Value, list: impl Iterator<Item = &'a Value>, all: bool) -> Result<Value> {
    let mut is_unknown = false;
    for item in list {
        match compared(op, left, item)? {
            Value::Bool(flag) if flag != all => return Ok(Value::Bool(!all)),
            Value::Bool(_) => {}
            _ => is_unknown = true,
        }
    }
    Ok(if is_unknown { Value::Null } else { Value::Bool(all) })
}

fn arithmetic(op: Arithmetic, left: &Value, right: &Value) -> Result<Value> {
    let out_of_range = || Error::new(ErrorKind::NumericRange, "bigint out of range");
    Ok(match (left, right) {
        (Value::Int(a), Value::Int(b)) => {
            if *b == 0 && matches!(op, Arithmetic::Divide | Arithmetic::Modulo) {
                return Err(Error::new(ErrorKind::DivisionByZero, "division by zero"));
            }
            let result = match op {
                Arithmetic::Plus => a.checked_add(*b),
                Arithmetic::Minus => a.checked_sub(*b),
                Arithmetic::Times => a.checked_mul(*b),
                Arithmetic::Divide => a.checked_div(*b),
                Arithmetic::Modulo => a.checked_rem(*b),
                Arithmetic::BitAnd => Some(a & b),
                Arithmetic::BitOr => Some(a | b),
            };
            Value::Int(result.ok_or_else(out_of_range)?)
        }
        (Value::Null, _) | (_, Value::Null) => Value::Null,
        (a, b) => {
            let float = |v: &Value| match v {
                Value::Float(f) => Some(*f),
                Value::Int(n) => Some(*n as f64),
                _ => None,
            };
            let (Some(a), Some(b)) = (float(a), float(b)) else { return Ok(Value::Null) };
            if b == 0.0 && matches!(op, Arithmetic::Divide | Arithmetic::Modulo) {
                return Err(Error::new(ErrorKind::DivisionByZero, "division by zero"));
            }
            Value::Float(match op {
                Arithmetic::Plus => a + b,
                Arithmetic::Minus => a - b,
                Arithmetic::Times => a * b,
                Arithmetic::Divide => a / b,
                Arithmetic::Modulo => a % b,
                Arithmetic::BitAnd | Arithmetic::BitOr => {
                    return Err(Error::unsupported("bits of a number with a fraction"));
                }
            })
        }
    })
}
