//! Calls in catalog queries: plain functions, aggregates, windows and functions that give rows.

use super::bind::{Binder, Bound, direction};
use super::function;
use super::plan::*;
use super::set_function;
use super::value::{array_of, is_integer};
use crate::pg_types::oid;
use crate::query::names::last_part;
use catalog::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Span;
use std::sync::Arc;

/// The arguments of a call as expressions.
pub(super) fn plain_arguments(arguments: &[ast::FunctionArg]) -> Result<Vec<&ast::Expr>> {
    arguments
        .iter()
        .map(|argument| match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Ok(expr),
            _ => Err(Error::unsupported("this form of argument in a catalog query")),
        })
        .collect()
}

/// The arguments when their number fits.
pub(super) fn checked(name: &str, range: (usize, usize), arguments: Vec<Bound>) -> Result<Vec<Bound>> {
    if (range.0..=range.1).contains(&arguments.len()) {
        return Ok(arguments);
    }
    Err(Error::new(
        ErrorKind::UndefinedFunction,
        format!("function {name} does not exist with {} arguments", arguments.len()),
    ))
}

impl Binder<'_> {
    pub(super) fn function_call(&mut self, call: &ast::Function) -> Result<Bound> {
        let name = last_part(&call.name);
        let span = match call.name.0.first() {
            Some(ast::ObjectNamePart::Identifier(ident)) => ident.span,
            _ => Span::empty(),
        };
        if !call.within_group.is_empty()
            || call.null_treatment.is_some()
            || !matches!(call.parameters, ast::FunctionArguments::None)
        {
            return Err(Error::unsupported("this form of call in a catalog query"));
        }
        let list = match &call.args {
            ast::FunctionArguments::None => None,
            ast::FunctionArguments::Subquery(query) if name == "array" => {
                let plan = self.query(query)?;
                let type_oid = array_of(one_column(&plan)?);
                return Ok(Bound::new(Expr::ArrayOf(Arc::new(plan)), type_oid));
            }
            ast::FunctionArguments::Subquery(_) => return Err(Error::unsupported("a query as an argument")),
            ast::FunctionArguments::List(list) => Some(list),
        };
        if let Some(over) = &call.over {
            return self.window(&name, list, over);
        }
        if let Some(list) = list
            && let Some(kind) = aggregate_kind(&name, list)
        {
            return self.aggregate(kind, list, call.filter.as_deref());
        }
        if call.filter.is_some() {
            return Err(Error::unsupported("FILTER on something that is no aggregate"));
        }
        let arguments = match list {
            Some(list) if list.clauses.is_empty() && list.duplicate_treatment.is_none() => plain_arguments(&list.args)?,
            Some(_) => return Err(Error::unsupported("this form of call in a catalog query")),
            None => vec![],
        };
        self.call(&name, &arguments, Some(span))
    }

    /// A call by name.
    pub(super) fn call(&mut self, name: &str, arguments: &[&ast::Expr], span: Option<Span>) -> Result<Bound> {
        let mut arguments: Vec<Bound> = arguments.iter().map(|e| self.expr(e)).collect::<Result<_>>()?;
        match name {
            "coalesce" => {
                let type_oid = self.common_type(&mut arguments)?;
                return Ok(Bound::new(Expr::Coalesce(arguments.into_iter().map(|a| a.expr).collect()), type_oid));
            }
            "nullif" => {
                let type_oid = self.common_type(&mut arguments)?;
                if let [left, right] = arguments.as_slice() {
                    let (left, right) = (Box::new(left.expr.clone()), Box::new(right.expr.clone()));
                    return Ok(Bound::new(Expr::NullIf(left, right), type_oid));
                }
            }
            "row" => return Ok(Bound::new(Expr::Record(arguments.into_iter().map(|a| a.expr).collect()), 2249)),
            "greatest" | "least" => {
                self.common_type(&mut arguments)?;
            }
            _ => {}
        }
        if let Some(found) = set_function::find(name)
            && (found.arguments.0..=found.arguments.1).contains(&arguments.len())
        {
            let types: Vec<u32> = arguments.iter().map(|a| a.type_oid).collect();
            let columns = (found.columns)(&types);
            let exprs = arguments.into_iter().map(|a| a.expr).collect();
            let scope = self.scope()?;
            scope.sets.push((found, exprs, types));
            let slot = Expr::Slot(Slot::Set, scope.sets.len() - 1);
            return Ok(match columns.as_slice() {
                [(_, type_oid)] => Bound::new(slot, *type_oid),
                columns => {
                    let fields = columns.iter().map(|(name, type_oid)| ((*name).to_owned(), *type_oid)).collect();
                    Bound { fields: Some(Arc::new(fields)), ..Bound::new(slot, 2249) }
                }
            });
        }
        let Some(found) = function::find(name) else {
            return Err(Error::unsupported(format!("function {name} in a catalog query")));
        };
        let arguments = match checked(name, found.arguments, arguments) {
            Ok(arguments) => arguments,
            Err(error) => {
                return Err(
                    span.map_or_else(|| Error::unsupported(format!("this form of {name}")), |s| self.at(error, s))
                );
            }
        };
        let mut types = vec![];
        let mut exprs = vec![];
        for argument in arguments {
            // Only pg_typeof tells an untyped literal from text.
            let argument = if name == "pg_typeof" { argument } else { self.settled(argument)? };
            types.push(argument.type_oid);
            exprs.push(argument.expr);
        }
        Ok(Bound::new(Expr::Call(found, exprs, types.clone()), found.returns.of(&types)))
    }

    fn aggregate(
        &mut self,
        kind: AggregateKind,
        list: &ast::FunctionArgumentList,
        filter: Option<&ast::Expr>,
    ) -> Result<Bound> {
        if !self.scope()?.allows_aggregates {
            return Err(Error::new(ErrorKind::Remote("42803".into()), "aggregate functions are not allowed here"));
        }
        self.scope()?.allows_aggregates = false;
        let bound = self.aggregate_parts(kind, list, filter);
        self.scope()?.allows_aggregates = true;
        let aggregate = bound?;
        let type_oid = match kind {
            AggregateKind::CountRows | AggregateKind::Count => oid::INT8,
            AggregateKind::Sum if is_integer(aggregate.type_oid) => oid::INT8,
            AggregateKind::Sum | AggregateKind::Avg => oid::FLOAT8,
            AggregateKind::Min | AggregateKind::Max => aggregate.type_oid,
            AggregateKind::BoolAnd | AggregateKind::BoolOr => oid::BOOL,
            AggregateKind::ArrayAgg => array_of(aggregate.type_oid),
            AggregateKind::StringAgg => oid::TEXT,
            AggregateKind::JsonAgg => oid::JSON,
        };
        let scope = self.scope()?;
        scope.aggregates.push(aggregate);
        Ok(Bound::new(Expr::Slot(Slot::Aggregate, scope.aggregates.len() - 1), type_oid))
    }

    fn aggregate_parts(
        &mut self,
        kind: AggregateKind,
        list: &ast::FunctionArgumentList,
        filter: Option<&ast::Expr>,
    ) -> Result<Aggregate> {
        let mut arguments = vec![];
        if kind != AggregateKind::CountRows {
            for argument in plain_arguments(&list.args)? {
                let bound = self.expr(argument)?;
                arguments.push(self.settled(bound)?);
            }
        }
        let mut order_by = vec![];
        for clause in &list.clauses {
            let ast::FunctionArgumentClause::OrderBy(keys) = clause else {
                return Err(Error::unsupported("this clause of an aggregate in a catalog query"));
            };
            for key in keys {
                let (descending, nulls_first) = direction(&key.options);
                order_by.push((self.expr(&key.expr)?.expr, descending, nulls_first));
            }
        }
        let filter = filter.map(|f| self.condition(f)).transpose()?;
        let type_oid = arguments.first().map_or(oid::INT8, |a| a.type_oid);
        Ok(Aggregate {
            kind,
            arguments: arguments.into_iter().map(|a| a.expr).collect(),
            type_oid,
            distinct: matches!(list.duplicate_treatment, Some(ast::DuplicateTreatment::Distinct)),
            filter,
            order_by,
        })
    }

    fn window(
        &mut self,
        name: &str,
        list: Option<&ast::FunctionArgumentList>,
        over: &ast::WindowType,
    ) -> Result<Bound> {
        let kind = match name {
            "row_number" => WindowKind::RowNumber,
            "rank" => WindowKind::Rank,
            "dense_rank" => WindowKind::DenseRank,
            "count" if list.is_some_and(|l| matches!(aggregate_kind("count", l), Some(AggregateKind::CountRows))) => {
                WindowKind::CountRows
            }
            _ => return Err(Error::unsupported(format!("window function {name} in a catalog query"))),
        };
        let ast::WindowType::WindowSpec(spec) = over else {
            return Err(Error::unsupported("a named window in a catalog query"));
        };
        if spec.window_frame.is_some()
            || spec.window_name.is_some()
            || (kind == WindowKind::CountRows && !spec.order_by.is_empty())
        {
            return Err(Error::unsupported("a window frame in a catalog query"));
        }
        let partition_by = spec.partition_by.iter().map(|e| Ok(self.expr(e)?.expr)).collect::<Result<Vec<_>>>()?;
        let mut order_by = vec![];
        for key in &spec.order_by {
            let (descending, nulls_first) = direction(&key.options);
            order_by.push((self.expr(&key.expr)?.expr, descending, nulls_first));
        }
        let scope = self.scope()?;
        scope.windows.push(Window { kind, partition_by, order_by });
        Ok(Bound::new(Expr::Slot(Slot::Window, scope.windows.len() - 1), oid::INT8))
    }
}

/// The type of the only column of a query that stands for a value.
pub(super) fn one_column(plan: &Plan) -> Result<u32> {
    match plan.columns.as_slice() {
        [column] if column.type_oid == oid::UNKNOWN => Ok(oid::TEXT),
        [column] => Ok(column.type_oid),
        _ => Err(Error::new(ErrorKind::Syntax, "subquery must return only one column")),
    }
}

fn aggregate_kind(name: &str, list: &ast::FunctionArgumentList) -> Option<AggregateKind> {
    Some(match name {
        "count" if matches!(list.args.as_slice(), [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)]) => {
            AggregateKind::CountRows
        }
        "count" => AggregateKind::Count,
        "sum" => AggregateKind::Sum,
        "min" => AggregateKind::Min,
        "max" => AggregateKind::Max,
        "avg" => AggregateKind::Avg,
        "bool_and" | "every" => AggregateKind::BoolAnd,
        "bool_or" => AggregateKind::BoolOr,
        "array_agg" => AggregateKind::ArrayAgg,
        "string_agg" => AggregateKind::StringAgg,
        "json_agg" | "jsonb_agg" => AggregateKind::JsonAgg,
        _ => return None,
    })
}
