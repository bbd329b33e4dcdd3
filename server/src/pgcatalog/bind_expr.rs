//! Expressions of catalog queries: names, operators, casts and types.

use super::bind::{Binder, Bound, ScopeItem};
use super::bind_function::one_column;
use super::plan::*;
use super::value::{Value, array_of, element_of, from_text, is_integer, is_numbered, is_reg, is_textual, written_type};
use crate::pg_types::oid;
use crate::query::names::folded;
use catalog::error::nearest;
use catalog::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator as Op, UnaryOperator};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::sync::Arc;

const RECORD: u32 = 2249;

impl Binder<'_> {
    pub(super) fn expr(&mut self, expr: &ast::Expr) -> Result<Bound> {
        use ast::Expr as E;
        let boolean = |expr| Ok(Bound::new(expr, oid::BOOL));
        match expr {
            E::Identifier(ident) => self.name(std::slice::from_ref(ident)),
            E::CompoundIdentifier(idents) => self.name(idents),
            E::Nested(inner) | E::Collate { expr: inner, .. } => self.expr(inner),
            E::Value(value) => self.literal(value),
            E::TypedString(typed) => {
                let bound = self.literal(&typed.value)?;
                self.cast(bound, &typed.data_type)
            }
            E::Cast { expr, data_type, format: None, array: false, .. } => {
                let bound = self.expr(expr)?;
                self.cast(bound, data_type)
            }
            E::BinaryOp { left, op, right } => {
                let left = self.expr(left)?;
                let right = self.expr(right)?;
                self.binary(left, &operator(op)?, right)
            }
            E::UnaryOp { op, expr: inner } => {
                let bound = self.expr(inner)?;
                match op {
                    UnaryOperator::Not => {
                        let bound = self.known(bound, oid::BOOL)?;
                        boolean(Expr::Not(Box::new(bound.expr)))
                    }
                    UnaryOperator::Minus => {
                        let type_oid = bound.type_oid;
                        Ok(match bound.expr {
                            Expr::Const(Value::Int(n)) => {
                                Bound::new(Expr::Const(Value::Int(n.wrapping_neg())), type_oid)
                            }
                            Expr::Const(Value::Float(n)) => Bound::new(Expr::Const(Value::Float(-n)), type_oid),
                            expr => Bound::new(Expr::Negate(Box::new(expr)), type_oid),
                        })
                    }
                    UnaryOperator::Plus => Ok(bound),
                    _ => Err(Error::unsupported(format!("operator {op} in a catalog query"))),
                }
            }
            E::IsNull(inner) => {
                let bound = self.expr(inner)?;
                boolean(Expr::IsNull { expr: Box::new(bound.expr), negated: false })
            }
            E::IsNotNull(inner) => {
                let bound = self.expr(inner)?;
                boolean(Expr::IsNull { expr: Box::new(bound.expr), negated: true })
            }
            E::IsTrue(inner) => self.is_bool(inner, true, false),
            E::IsNotTrue(inner) => self.is_bool(inner, true, true),
            E::IsFalse(inner) => self.is_bool(inner, false, false),
            E::IsNotFalse(inner) => self.is_bool(inner, false, true),
            E::IsUnknown(inner) | E::IsNotUnknown(inner) => {
                let negated = matches!(expr, E::IsNotUnknown(_));
                let bound = self.expr(inner)?;
                boolean(Expr::IsNull { expr: Box::new(bound.expr), negated })
            }
            E::IsDistinctFrom(a, b) | E::IsNotDistinctFrom(a, b) => {
                let negated = matches!(expr, E::IsNotDistinctFrom(..));
                let (left, right) = (self.expr(a)?, self.expr(b)?);
                let (left, right) = self.same_type(left, right)?;
                boolean(Expr::IsDistinct { left: Box::new(left.expr), right: Box::new(right.expr), negated })
            }
            E::Between { expr: inner, negated, low, high } => {
                let value = self.expr(inner)?;
                let (low, high) = (self.expr(low)?, self.expr(high)?);
                let low = self.binary(value.clone(), &Op::GtEq, low)?;
                let high = self.binary(value, &Op::LtEq, high)?;
                let both = Expr::And(vec![low.expr, high.expr]);
                boolean(if *negated { Expr::Not(Box::new(both)) } else { both })
            }
            E::Like { negated, any: false, expr: inner, pattern, escape_char } => {
                self.like(inner, pattern, escape_char.as_ref(), false, *negated)
            }
            E::ILike { negated, any: false, expr: inner, pattern, escape_char } => {
                self.like(inner, pattern, escape_char.as_ref(), true, *negated)
            }
            E::InList { expr: inner, list, negated } => {
                let mut value = self.expr(inner)?;
                let mut exprs = vec![];
                for item in list {
                    let item = self.expr(item)?;
                    let (left, item) = self.same_type(value, item)?;
                    value = left;
                    exprs.push(item.expr);
                }
                boolean(Expr::InList { expr: Box::new(value.expr), list: exprs, negated: *negated })
            }
            E::InSubquery { expr: inner, subquery, negated } => {
                let op = if *negated { Comparison::NotEq } else { Comparison::Eq };
                self.quantified_query(inner, subquery, op, *negated)
            }
            E::AnyOp { left, compare_op, right, .. } => self.quantified(left, compare_op, right, false),
            E::AllOp { left, compare_op, right } => self.quantified(left, compare_op, right, true),
            E::Exists { subquery, negated } => {
                let exists = Expr::Exists(Arc::new(self.query(subquery)?));
                boolean(if *negated { Expr::Not(Box::new(exists)) } else { exists })
            }
            E::Subquery(query) => {
                let plan = self.query(query)?;
                let type_oid = one_column(&plan)?;
                let fields = plan.columns.first().and_then(|c| c.fields.clone());
                Ok(Bound { fields, ..Bound::new(Expr::Scalar(Arc::new(plan)), type_oid) })
            }
            E::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            E::Function(call) => self.function_call(call),
            E::Array(array) => {
                let mut items: Vec<Bound> = array.elem.iter().map(|e| self.expr(e)).collect::<Result<_>>()?;
                let type_oid = self.common_type(&mut items)?;
                Ok(Bound::new(Expr::Array(items.into_iter().map(|i| i.expr).collect()), array_of(type_oid)))
            }
            E::Tuple(list) => {
                let items: Vec<Bound> = list.iter().map(|e| self.expr(e)).collect::<Result<_>>()?;
                Ok(Bound::new(Expr::Record(items.into_iter().map(|i| i.expr).collect()), RECORD))
            }
            E::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            E::Substring { expr: inner, substring_from, substring_for, .. } => {
                let from = ast::Expr::Value(ast::Value::Number("1".into(), false).into());
                let mut list = vec![inner.as_ref(), substring_from.as_deref().unwrap_or(&from)];
                list.extend(substring_for.as_deref());
                self.call("substring", &list, None)
            }
            E::Position { expr: inner, r#in } => self.call("position", &[inner, r#in], None),
            E::Ceil { expr: inner, field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
                self.call("ceil", &[inner], None)
            }
            E::Floor { expr: inner, field: ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
                self.call("floor", &[inner], None)
            }
            E::Trim { trim_where, trim_what, expr: inner, trim_characters } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                let mut list = vec![inner.as_ref()];
                list.extend(trim_what.as_deref());
                list.extend(trim_characters.iter().flatten());
                self.call(name, &list, None)
            }
            E::AtTimeZone { timestamp, time_zone } => {
                let is_utc = match time_zone.as_ref() {
                    E::Value(value) => {
                        matches!(&value.value, ast::Value::SingleQuotedString(z) if z.eq_ignore_ascii_case("utc"))
                    }
                    _ => false,
                };
                let bound = self.expr(timestamp)?;
                if !is_utc {
                    return Err(Error::unsupported("a time zone other than UTC in a catalog query"));
                }
                Ok(Bound { type_oid: oid::TIMESTAMP, ..bound })
            }
            _ => Err(Error::unsupported("this expression in a catalog query")),
        }
    }

    fn is_bool(&mut self, inner: &ast::Expr, value: bool, negated: bool) -> Result<Bound> {
        let expr = self.condition(inner)?;
        Ok(Bound::new(Expr::IsBool { expr: Box::new(expr), value, negated }, oid::BOOL))
    }

    fn literal(&mut self, value: &ast::ValueWithSpan) -> Result<Bound> {
        use ast::Value as V;
        Ok(match &value.value {
            V::Number(text, _) => match text.parse::<i64>() {
                Ok(n) => {
                    Bound::new(Expr::Const(Value::Int(n)), if i32::try_from(n).is_ok() { oid::INT4 } else { oid::INT8 })
                }
                // The engine has exact decimals.
                Err(_) => return Err(Error::unsupported("a number with a fraction in a catalog query")),
            },
            V::SingleQuotedString(text)
            | V::EscapedStringLiteral(text)
            | V::NationalStringLiteral(text)
            | V::UnicodeStringLiteral(text) => Bound::new(Expr::Const(Value::text(text)), oid::UNKNOWN),
            V::DollarQuotedString(text) => Bound::new(Expr::Const(Value::text(&text.value)), oid::UNKNOWN),
            V::Boolean(flag) => Bound::new(Expr::Const(Value::Bool(*flag)), oid::BOOL),
            V::Null => Bound::new(Expr::Const(Value::Null), oid::UNKNOWN),
            V::Placeholder(name) => {
                let number = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()).filter(|n| *n > 0);
                let Some(index) = number.map(|n| n - 1) else {
                    return Err(Error::new(ErrorKind::Syntax, format!("there is no parameter {name}")));
                };
                if self.parameters.len() <= index {
                    self.parameters.resize(index + 1, None);
                }
                Bound::new(Expr::Parameter(index), self.parameters[index].unwrap_or(oid::UNKNOWN))
            }
            other => return Err(Error::unsupported(format!("literal {other}"))),
        })
    }

    // Names.

    fn name(&mut self, idents: &[ast::Ident]) -> Result<Bound> {
        match self.lookup(idents)? {
            Some(found) => Ok(found),
            None => Err(self.missing(idents)),
        }
    }

    /// What a dotted name means, looked for from the inside out.
    fn lookup(&mut self, idents: &[ast::Ident]) -> Result<Option<Bound>> {
        let parts: Vec<String> = idents.iter().map(folded).collect();
        let innermost = self.scopes.len();
        for level in (0..innermost).rev() {
            let depth = innermost - 1 - level;
            let found = match parts.as_slice() {
                [column] => self.find_column(level, None, None, column, &idents[0])?,
                [table, column] => self.find_column(level, None, Some(table), column, &idents[1])?,
                [schema, table, column] | [_, schema, table, column] => {
                    self.find_column(level, Some(schema), Some(table), column, &idents[2])?
                }
                _ => None,
            };
            if let Some((item, number)) = found {
                self.touched = self.touched.min(level);
                let scope_item = self.scopes[level].items.iter().find(|i| i.item == item);
                let column = scope_item.map(|i| i.columns[number].clone());
                return Ok(column.map(|c| Bound {
                    expr: Expr::Column { depth, item, column: number },
                    type_oid: c.type_oid,
                    fields: c.fields,
                }));
            }
            if let [name] = parts.as_slice()
                && let Some(row) = self.scopes[level].items.iter().find(|i| i.name == *name)
            {
                let bound = whole_row(row, depth);
                self.touched = self.touched.min(level);
                return Ok(Some(bound));
            }
        }
        Ok(None)
    }

    fn find_column(
        &self,
        level: usize,
        schema: Option<&str>,
        table: Option<&str>,
        column: &str,
        ident: &ast::Ident,
    ) -> Result<Option<(usize, usize)>> {
        let mut found: Option<(usize, usize)> = None;
        for item in &self.scopes[level].items {
            if table.is_some_and(|t| t != item.name) || schema.is_some_and(|s| item.schema.as_deref() != Some(s)) {
                continue;
            }
            // A hidden column is found only with its table's name, or if it is the only one.
            let number = item.columns.iter().position(|c| c.name == column && (!c.is_hidden || table.is_some()));
            let hidden = || item.columns.iter().position(|c| c.name == column && column != "tableoid" && c.is_hidden);
            if let Some(number) = number.or_else(|| {
                if found.is_none() && table.is_none() { hidden().filter(|_| column == "xmin") } else { None }
            }) {
                if found.is_some() {
                    let error =
                        Error::new(ErrorKind::AmbiguousColumn, format!("column reference \"{column}\" is ambiguous"));
                    return Err(self.at(error, ident.span));
                }
                found = Some((item.item, number));
            }
        }
        if found.is_none() && table.is_none() && column == "tableoid" && self.scopes[level].items.len() == 1 {
            let item = &self.scopes[level].items[0];
            found = item.columns.iter().position(|c| c.name == column).map(|number| (item.item, number));
        }
        Ok(found)
    }

    fn missing(&self, idents: &[ast::Ident]) -> Error {
        let span = idents.first().map_or(Span::empty(), |i| i.span);
        let parts: Vec<String> = idents.iter().map(folded).collect();
        let (column, table) = match parts.split_last() {
            Some((column, before)) => (column, before.last()),
            None => return Error::new(ErrorKind::UndefinedColumn, "column does not exist"),
        };
        let items = || self.scopes.iter().flat_map(|s| &s.items);
        if let Some(table) = table
            && !items().any(|i| i.name == *table)
        {
            let error =
                Error::new(ErrorKind::UndefinedTable, format!("missing FROM-clause entry for table \"{table}\""));
            return self.at(error, span);
        }
        let written = table.map_or_else(|| format!("\"{column}\""), |t| format!("{t}.{column}"));
        let error =
            Error::new(ErrorKind::UndefinedColumn, format!("column {written} does not exist")).with_column(column);
        let near = items()
            .filter(|i| table.is_none_or(|t| i.name == *t))
            .flat_map(|i| i.columns.iter().map(move |c| (i, c)))
            .filter(|(_, c)| !c.is_hidden);
        let names: Vec<(String, &str)> = near.map(|(i, c)| (i.name.clone(), c.name.as_str())).collect();
        let error = match nearest(column, names.iter().map(|(_, n)| *n)) {
            Some(found) => {
                let table = names.iter().find(|(_, n)| *n == found).map(|(t, _)| t.as_str()).unwrap_or("");
                error.with_hint(format!("Perhaps you meant to reference the column \"{table}.{found}\"."))
            }
            None => error,
        };
        self.at(error, span)
    }

    /// `a.b[1]`, `(record).field`
    fn access(&mut self, root: &ast::Expr, chain: &[ast::AccessExpr]) -> Result<Bound> {
        // The parser hands a dotted name over in pieces: as many as mean a column belong together.
        let mut names: Vec<ast::Ident> = match root {
            ast::Expr::Identifier(ident) => vec![ident.clone()],
            ast::Expr::CompoundIdentifier(idents) => idents.clone(),
            _ => vec![],
        };
        let mut rest = chain;
        let mut bound = if names.is_empty() {
            self.expr(root)?
        } else {
            while let [ast::AccessExpr::Dot(ast::Expr::Identifier(ident)), after @ ..] = rest {
                names.push(ident.clone());
                rest = after;
            }
            self.name(&names)?
        };
        for access in rest {
            bound = match access {
                ast::AccessExpr::Dot(ast::Expr::Identifier(ident)) => self.field(bound, ident)?,
                ast::AccessExpr::Subscript(ast::Subscript::Index { index }) => {
                    let index = self.expr(index)?;
                    let index = self.known(index, oid::INT4)?;
                    let Some(element) = element_of(bound.type_oid) else {
                        return Err(Error::new(ErrorKind::TypeMismatch, "cannot subscript a value that is no array"));
                    };
                    let first = i64::from(!matches!(bound.type_oid, oid::INT2VECTOR | oid::OIDVECTOR));
                    Bound::new(Expr::Index { list: Box::new(bound.expr), index: Box::new(index.expr), first }, element)
                }
                ast::AccessExpr::Subscript(ast::Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                    let first = i64::from(!matches!(bound.type_oid, oid::INT2VECTOR | oid::OIDVECTOR));
                    let from = lower_bound.as_ref().map(|e| self.expr(e)).transpose()?.map(|b| Box::new(b.expr));
                    let to = upper_bound.as_ref().map(|e| self.expr(e)).transpose()?.map(|b| Box::new(b.expr));
                    Bound::new(Expr::Slice { list: Box::new(bound.expr), from, to, first }, bound.type_oid)
                }
                _ => return Err(Error::unsupported("this access in a catalog query")),
            };
        }
        Ok(bound)
    }

    fn field(&self, record: Bound, ident: &ast::Ident) -> Result<Bound> {
        let name = folded(ident);
        let place = record.fields.iter().flat_map(|f| f.iter()).position(|(n, _)| *n == name);
        let type_oid = place.and_then(|p| record.fields.as_ref().map(|f| f[p].1));
        match (place, type_oid) {
            (Some(place), Some(type_oid)) => Ok(Bound::new(Expr::Field(Box::new(record.expr), place), type_oid)),
            _ => {
                let error =
                    Error::new(ErrorKind::UndefinedColumn, format!("column \"{name}\" not found in the record"));
                Err(self.at(error, ident.span))
            }
        }
    }

    // Types.

    /// A value whose type is not known yet becomes one of this type.
    pub(super) fn known(&mut self, bound: Bound, type_oid: u32) -> Result<Bound> {
        if bound.type_oid != oid::UNKNOWN {
            return Ok(bound);
        }
        let expr = match bound.expr {
            Expr::Const(Value::Null) => Expr::Const(Value::Null),
            Expr::Const(Value::Text(text)) if !is_reg(type_oid) => Expr::Const(from_text(&text, type_oid)?),
            Expr::Parameter(index) => {
                self.parameters[index] = Some(type_oid);
                Expr::Parameter(index)
            }
            expr => Expr::Cast { expr: Box::new(expr), from: oid::UNKNOWN, to: type_oid, modifier: -1 },
        };
        Ok(Bound::new(expr, type_oid))
    }

    /// A value whose type nothing decides is text.
    pub(super) fn settled(&mut self, bound: Bound) -> Result<Bound> {
        self.known(bound, oid::TEXT)
    }

    fn same_type(&mut self, left: Bound, right: Bound) -> Result<(Bound, Bound)> {
        let (l, r) = (left.type_oid, right.type_oid);
        Ok(match (l == oid::UNKNOWN, r == oid::UNKNOWN) {
            (true, true) => (self.settled(left)?, self.settled(right)?),
            (true, false) => (self.known(left, comparable(r))?, right),
            (false, true) => {
                let right = self.known(right, comparable(l))?;
                (left, right)
            }
            (false, false) => match (is_textual(l), is_textual(r)) {
                // A number or a flag beside text: the text is read as such.
                (false, true) if is_integer(l) || l == oid::BOOL => (left, cast_to(right, l)),
                (true, false) if is_integer(r) || r == oid::BOOL => (cast_to(left, r), right),
                _ => (left, right),
            },
        })
    }

    /// The type that all of them get.
    pub(super) fn common_type(&mut self, list: &mut [Bound]) -> Result<u32> {
        let known = list.iter().map(|b| b.type_oid).filter(|t| *t != oid::UNKNOWN);
        let mut type_oid = oid::UNKNOWN;
        for next in known {
            type_oid = match (type_oid, next) {
                (oid::UNKNOWN, next) => next,
                (oid::NAME | oid::CHAR, next) if is_textual(next) => next,
                (oid::INT2, oid::INT4 | oid::INT8) | (oid::INT4, oid::INT8) => next,
                (t, oid::FLOAT8) if is_integer(t) => next,
                (t, next) if is_reg(t) && !is_reg(next) => next,
                (t, _) => t,
            };
        }
        if type_oid == oid::UNKNOWN {
            type_oid = oid::TEXT;
        }
        for item in list {
            *item = self.known(item.clone(), type_oid)?;
        }
        Ok(type_oid)
    }

    fn cast(&mut self, bound: Bound, data_type: &ast::DataType) -> Result<Bound> {
        let text = data_type.to_string();
        let Some((to, modifier)) = written_type(&text) else {
            return Err(Error::unsupported(format!("type {text} in a catalog query")));
        };
        if let Expr::Parameter(index) = bound.expr
            && bound.type_oid == oid::UNKNOWN
            && !is_reg(to)
        {
            self.parameters[index] = Some(to);
            return Ok(Bound::new(Expr::Parameter(index), to));
        }
        if bound.type_oid == to && modifier < 0 {
            return Ok(bound);
        }
        let from = bound.type_oid;
        Ok(Bound::new(Expr::Cast { expr: Box::new(bound.expr), from, to, modifier }, to))
    }

    // Operators.

    fn binary(&mut self, left: Bound, op: &Op, right: Bound) -> Result<Bound> {
        let boolean = |expr| Ok(Bound::new(expr, oid::BOOL));
        match op {
            Op::And | Op::Or => {
                let left = self.known(left, oid::BOOL)?.expr;
                let right = self.known(right, oid::BOOL)?.expr;
                boolean(match (op, left) {
                    (Op::And, Expr::And(mut list)) => {
                        list.push(right);
                        Expr::And(list)
                    }
                    (Op::Or, Expr::Or(mut list)) => {
                        list.push(right);
                        Expr::Or(list)
                    }
                    (Op::And, left) => Expr::And(vec![left, right]),
                    (_, left) => Expr::Or(vec![left, right]),
                })
            }
            Op::StringConcat => self.concat(left, right),
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo | Op::BitwiseAnd | Op::BitwiseOr => {
                self.arithmetic(left, op, right)
            }
            op => match comparison(op) {
                Some(Comparison::Match { ignore_case, negated }) => {
                    let (left, right) = (self.settled(left)?, self.settled(right)?);
                    boolean(Expr::Regex {
                        expr: Box::new(left.expr),
                        pattern: Box::new(right.expr),
                        ignore_case,
                        negated,
                    })
                }
                Some(Comparison::Like { ignore_case, negated }) => {
                    let (left, right) = (self.settled(left)?, self.settled(right)?);
                    boolean(Expr::Like {
                        expr: Box::new(left.expr),
                        pattern: Box::new(right.expr),
                        escape: Some('\\'),
                        ignore_case,
                        negated,
                    })
                }
                Some(op) => {
                    let (left, right) = self.same_type(left, right)?;
                    boolean(Expr::Compare(op, Box::new(left.expr), Box::new(right.expr)))
                }
                None => Err(Error::unsupported(format!("operator {op} in a catalog query"))),
            },
        }
    }

    fn concat(&mut self, left: Bound, right: Bound) -> Result<Bound> {
        let is_array = |b: &Bound| element_of(b.type_oid).is_some();
        let (left, right) = match (is_array(&left), is_array(&right)) {
            (true, false) if right.type_oid == oid::UNKNOWN => {
                // An untyped literal beside an array is an array when it is written as one.
                let element = element_of(left.type_oid).unwrap_or(oid::TEXT);
                let is_list = matches!(&right.expr, Expr::Const(Value::Text(t)) if t.starts_with('{'));
                let target = if is_list { left.type_oid } else { element };
                let right = self.known(right, target)?;
                (left, right)
            }
            (false, true) if left.type_oid == oid::UNKNOWN => {
                let element = element_of(right.type_oid).unwrap_or(oid::TEXT);
                (self.known(left, element)?, right)
            }
            _ => (self.settled(left)?, self.settled(right)?),
        };
        let type_oid = match (is_array(&left), is_array(&right)) {
            (true, _) => left.type_oid,
            (false, true) => right.type_oid,
            (false, false) => oid::TEXT,
        };
        let (l, r) = (left.type_oid, right.type_oid);
        Ok(Bound::new(Expr::Concat(Box::new(left.expr), l, Box::new(right.expr), r), type_oid))
    }

    fn arithmetic(&mut self, left: Bound, op: &Op, right: Bound) -> Result<Bound> {
        let (l, r) = (left.type_oid, right.type_oid);
        let number = |t: u32| is_integer(t) || matches!(t, oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC);
        let left = if l == oid::UNKNOWN { self.known(left, if number(r) { r } else { oid::INT4 })? } else { left };
        let right = if r == oid::UNKNOWN { self.known(right, if number(l) { l } else { oid::INT4 })? } else { right };
        let (l, r) = (left.type_oid, right.type_oid);
        if !number(l) || !number(r) {
            return Err(Error::unsupported(format!("operator {op} on these types in a catalog query")));
        }
        let type_oid = if !is_integer(l) || !is_integer(r) {
            oid::FLOAT8
        } else if l == oid::INT8 || r == oid::INT8 || is_numbered(l) || is_numbered(r) {
            oid::INT8
        } else {
            oid::INT4
        };
        let op = match op {
            Op::Plus => Arithmetic::Plus,
            Op::Minus => Arithmetic::Minus,
            Op::Multiply => Arithmetic::Times,
            Op::Divide => Arithmetic::Divide,
            Op::Modulo => Arithmetic::Modulo,
            Op::BitwiseAnd => Arithmetic::BitAnd,
            _ => Arithmetic::BitOr,
        };
        Ok(Bound::new(Expr::Arithmetic(op, Box::new(left.expr), Box::new(right.expr)), type_oid))
    }

    fn like(
        &mut self,
        expr: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::ValueWithSpan>,
        ignore_case: bool,
        negated: bool,
    ) -> Result<Bound> {
        let escape = match escape.map(|v| &v.value) {
            None => Some('\\'),
            Some(ast::Value::SingleQuotedString(text) | ast::Value::EscapedStringLiteral(text))
                if text.chars().count() <= 1 =>
            {
                text.chars().next()
            }
            Some(_) => return Err(Error::new(ErrorKind::Remote("22019".into()), "invalid escape string")),
        };
        let expr = self.expr(expr)?;
        let expr = self.settled(expr)?;
        let pattern = self.expr(pattern)?;
        let pattern = self.settled(pattern)?;
        let like =
            Expr::Like { expr: Box::new(expr.expr), pattern: Box::new(pattern.expr), escape, ignore_case, negated };
        Ok(Bound::new(like, oid::BOOL))
    }

    fn quantified(&mut self, left: &ast::Expr, op: &Op, right: &ast::Expr, all: bool) -> Result<Bound> {
        let op = operator(op)?;
        let Some(op) = comparison(&op) else {
            return Err(Error::unsupported(format!("operator {op} with ANY in a catalog query")));
        };
        if let ast::Expr::Subquery(query) = unwrap(right) {
            return self.quantified_query(left, query, op, all);
        }
        let left = self.expr(left)?;
        let right = self.expr(right)?;
        let (left, right) = match (left.type_oid == oid::UNKNOWN, right.type_oid == oid::UNKNOWN) {
            (_, true) => {
                let left = self.settled(left)?;
                let list = array_of(comparable(left.type_oid));
                let right = self.known(right, list)?;
                (left, right)
            }
            (true, false) => {
                let element = element_of(right.type_oid).unwrap_or(oid::TEXT);
                (self.known(left, element)?, right)
            }
            (false, false) => (left, right),
        };
        if element_of(right.type_oid).is_none() {
            return Err(Error::new(ErrorKind::TypeMismatch, "op ANY/ALL (array) requires array on right side"));
        }
        let expr = Expr::Quantified { op, left: Box::new(left.expr), right: Box::new(right.expr), all };
        Ok(Bound::new(expr, oid::BOOL))
    }

    fn quantified_query(&mut self, left: &ast::Expr, query: &ast::Query, op: Comparison, all: bool) -> Result<Bound> {
        let plan = self.query(query)?;
        let left = self.expr(left)?;
        let left = match plan.columns.as_slice() {
            [column] => {
                let type_oid = if column.type_oid == oid::UNKNOWN { oid::TEXT } else { column.type_oid };
                self.known(left, comparable(type_oid))?
            }
            // A row of several values beside a query of as many columns.
            _ => left,
        };
        let expr = Expr::QuantifiedQuery { op, left: Box::new(left.expr), query: Arc::new(plan), all };
        Ok(Bound::new(expr, oid::BOOL))
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
    ) -> Result<Bound> {
        let mut operand = operand.map(|o| self.expr(o)).transpose()?;
        let mut whens = vec![];
        let mut results = vec![];
        for when in conditions {
            let condition = match operand.take() {
                Some(value) => {
                    let condition = self.expr(&when.condition)?;
                    let (value, condition) = self.same_type(value, condition)?;
                    operand = Some(value);
                    condition.expr
                }
                None => self.condition(&when.condition)?,
            };
            whens.push(condition);
            results.push(self.expr(&when.result)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.expr(otherwise)?,
            None => Bound::new(Expr::Const(Value::Null), oid::UNKNOWN),
        });
        let type_oid = self.common_type(&mut results)?;
        let otherwise = results.pop().map_or(Expr::Const(Value::Null), |b| b.expr);
        let branches = whens.into_iter().zip(results.into_iter().map(|b| b.expr)).collect();
        let operand = operand.map(|o| Box::new(o.expr));
        Ok(Bound::new(Expr::Case { operand, branches, otherwise: Box::new(otherwise) }, type_oid))
    }
}

fn whole_row(item: &ScopeItem, depth: usize) -> Bound {
    if item.is_value {
        let type_oid = item.columns.first().map_or(oid::TEXT, |c| c.type_oid);
        return Bound::new(Expr::Column { depth, item: item.item, column: 0 }, type_oid);
    }
    let fields = item.columns.iter().map(|c| (c.name.clone(), c.type_oid)).collect();
    Bound { fields: Some(Arc::new(fields)), ..Bound::new(Expr::WholeRow { depth, item: item.item }, RECORD) }
}

/// The type in which a literal beside a value of this type is read.
fn comparable(type_oid: u32) -> u32 {
    // name and "char" compare as text: a long literal must not be cut to be equal.
    if matches!(type_oid, oid::NAME | oid::CHAR) { oid::TEXT } else { type_oid }
}

fn cast_to(bound: Bound, to: u32) -> Bound {
    let from = bound.type_oid;
    Bound::new(Expr::Cast { expr: Box::new(bound.expr), from, to, modifier: -1 }, to)
}

fn unwrap(expr: &ast::Expr) -> &ast::Expr {
    match expr {
        ast::Expr::Nested(inner) => unwrap(inner),
        other => other,
    }
}

/// `OPERATOR(pg_catalog.~)` is `~`.
fn operator(op: &Op) -> Result<Op> {
    let Op::PGCustomBinaryOperator(parts) = op else { return Ok(op.clone()) };
    Ok(match parts.last().map(String::as_str) {
        Some("=") => Op::Eq,
        Some("<>" | "!=") => Op::NotEq,
        Some("<") => Op::Lt,
        Some("<=") => Op::LtEq,
        Some(">") => Op::Gt,
        Some(">=") => Op::GtEq,
        Some("~") => Op::PGRegexMatch,
        Some("~*") => Op::PGRegexIMatch,
        Some("!~") => Op::PGRegexNotMatch,
        Some("!~*") => Op::PGRegexNotIMatch,
        Some("~~") => Op::PGLikeMatch,
        Some("~~*") => Op::PGILikeMatch,
        Some("!~~") => Op::PGNotLikeMatch,
        Some("!~~*") => Op::PGNotILikeMatch,
        Some("||") => Op::StringConcat,
        Some("+") => Op::Plus,
        Some("-") => Op::Minus,
        _ => return Err(Error::unsupported(format!("operator {op} in a catalog query"))),
    })
}

fn comparison(op: &Op) -> Option<Comparison> {
    let matching = |ignore_case, negated| Some(Comparison::Match { ignore_case, negated });
    let like = |ignore_case, negated| Some(Comparison::Like { ignore_case, negated });
    match op {
        Op::Eq => Some(Comparison::Eq),
        Op::NotEq => Some(Comparison::NotEq),
        Op::Lt => Some(Comparison::Less),
        Op::LtEq => Some(Comparison::LessEq),
        Op::Gt => Some(Comparison::Greater),
        Op::GtEq => Some(Comparison::GreaterEq),
        Op::PGRegexMatch => matching(false, false),
        Op::PGRegexIMatch => matching(true, false),
        Op::PGRegexNotMatch => matching(false, true),
        Op::PGRegexNotIMatch => matching(true, true),
        Op::PGLikeMatch => like(false, false),
        Op::PGILikeMatch => like(true, false),
        Op::PGNotLikeMatch => like(false, true),
        Op::PGNotILikeMatch => like(true, true),
        _ => None,
    }
}
