//! FROM of a catalog query: relations, functions, queries and joins.

use super::bind::{Binder, Bound, ScopeColumn, ScopeItem, catalog_relation, conjuncts, renamed, scope_item};
use super::plan::*;
use super::set_function;
use crate::pg_types::oid;
use crate::query::names::{folded, last_part};
use catalog::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::ast;
use std::sync::Arc;

/// FROM items of one query at most: a set of them is one number.
const ITEMS_MAX: usize = 64;

impl Binder<'_> {
    pub(super) fn table_with_joins(
        &mut self,
        table: &ast::TableWithJoins,
        items: &mut Vec<FromItem>,
        filters: &mut Vec<Expr>,
        count: &mut usize,
    ) -> Result<()> {
        self.factor(&table.relation, Join::Inner, items, filters, count)?;
        for join in &table.joins {
            use ast::JoinOperator as J;
            let (kind, constraint) = match &join.join_operator {
                J::Join(c) | J::Inner(c) | J::CrossJoin(c) => (Join::Inner, c),
                J::Left(c) | J::LeftOuter(c) => (Join::Left, c),
                J::Right(c) | J::RightOuter(c) => (Join::Right, c),
                J::FullOuter(c) => (Join::Full, c),
                _ => return Err(Error::unsupported("this kind of join over the client catalog")),
            };
            let before = self.scope()?.items.len();
            self.factor(&join.relation, kind, items, filters, count)?;
            let mut on = vec![];
            match constraint {
                ast::JoinConstraint::On(expr) => {
                    let condition = self.condition(expr)?;
                    conjuncts(condition, &mut on);
                }
                ast::JoinConstraint::Using(names) => {
                    for name in names {
                        on.push(self.using(&last_part(name), before)?);
                    }
                }
                ast::JoinConstraint::None => {}
                ast::JoinConstraint::Natural => return Err(Error::unsupported("NATURAL JOIN over the client catalog")),
            }
            match items.last_mut() {
                Some(item) if kind != Join::Inner => item.on = on,
                _ => filters.extend(on),
            }
        }
        Ok(())
    }

    /// The condition of one USING column; the second of the pair is hidden from then on.
    fn using(&mut self, name: &str, before: usize) -> Result<Expr> {
        let scope = self.scope()?;
        let find = |items: &[ScopeItem]| {
            items.iter().find_map(|item| {
                let column = item.columns.iter().position(|c| c.name == name && !c.is_hidden)?;
                Some((item.item, column))
            })
        };
        let (left, right) = scope.items.split_at(before);
        let (Some((left, left_column)), Some((right, right_column))) = (find(left), find(right)) else {
            return Err(Error::new(
                ErrorKind::UndefinedColumn,
                format!("column \"{name}\" specified in USING clause does not exist in both tables"),
            ));
        };
        for item in &mut scope.items[before..] {
            if item.item == right {
                item.columns[right_column].is_hidden = true;
            }
        }
        Ok(Expr::Compare(
            Comparison::Eq,
            Box::new(Expr::Column { depth: 0, item: left, column: left_column }),
            Box::new(Expr::Column { depth: 0, item: right, column: right_column }),
        ))
    }

    fn factor(
        &mut self,
        factor: &ast::TableFactor,
        join: Join,
        items: &mut Vec<FromItem>,
        filters: &mut Vec<Expr>,
        count: &mut usize,
    ) -> Result<()> {
        if let ast::TableFactor::NestedJoin { table_with_joins, alias: None } = factor {
            if join == Join::Inner {
                return self.table_with_joins(table_with_joins, items, filters, count);
            }
            let (mut group, mut conditions, first) = (vec![], vec![], *count);
            self.table_with_joins(table_with_joins, &mut group, &mut conditions, count)?;
            let (mut group, rest) = super::join_order::arrange(group, conditions)?;
            if let Some(last) = group.last_mut() {
                last.filters.extend(rest);
            }
            items.push(FromItem {
                item: first,
                source: Source::Group(group),
                join,
                on: vec![],
                key: vec![],
                filters: vec![],
            });
            return Ok(());
        }
        let item = *count;
        if item >= ITEMS_MAX {
            return Err(Error::new(ErrorKind::TooComplex, format!("more than {ITEMS_MAX} tables in one FROM")));
        }
        let (source, scope_item) = self.source(factor, item)?;
        *count += 1;
        let scope = self.scope()?;
        scope.items.push(scope_item);
        items.push(FromItem { item, source, join, on: vec![], key: vec![], filters: vec![] });
        Ok(())
    }

    fn source(&mut self, factor: &ast::TableFactor, item: usize) -> Result<(Source, ScopeItem)> {
        match factor {
            ast::TableFactor::Table { name, alias, args: None, sample: None, .. } => {
                self.relation(name, alias.as_ref(), item)
            }
            ast::TableFactor::Table { name, alias, args: Some(args), with_ordinality, .. } => {
                let arguments = super::bind_function::plain_arguments(&args.args)?;
                self.function(&last_part(name), &arguments, *with_ordinality, alias.as_ref(), item)
            }
            ast::TableFactor::Function { name, args, with_ordinality, alias, .. } => {
                let arguments = super::bind_function::plain_arguments(args)?;
                self.function(&last_part(name), &arguments, *with_ordinality, alias.as_ref(), item)
            }
            ast::TableFactor::UNNEST { array_exprs, alias, with_ordinality, with_offset: false, .. } => {
                let arguments: Vec<&ast::Expr> = array_exprs.iter().collect();
                self.function("unnest", &arguments, *with_ordinality, alias.as_ref(), item)
            }
            ast::TableFactor::Derived { lateral, subquery, alias, sample: None } => {
                // Without LATERAL the query does not see the tables beside it.
                let hidden = if *lateral { None } else { self.scopes.pop() };
                let plan = self.query(subquery);
                self.scopes.extend(hidden);
                let plan = plan?;
                let columns = match alias {
                    Some(alias) => renamed(&plan.columns, alias)?,
                    None => plan.columns.clone(),
                };
                let name = alias.as_ref().map(|a| folded(&a.name)).unwrap_or_default();
                let source = Source::Query { plan: Arc::new(plan), is_lateral: *lateral };
                Ok((source, scope_item(item, name, columns)))
            }
            _ => Err(Error::unsupported("this kind of table over the client catalog")),
        }
    }

    fn relation(
        &mut self,
        name: &ast::ObjectName,
        alias: Option<&ast::TableAlias>,
        item: usize,
    ) -> Result<(Source, ScopeItem)> {
        let table = last_part(name);
        let label = alias.map_or_else(|| table.clone(), |a| folded(&a.name));
        if name.0.len() == 1
            && let Some(cte) = self.ctes.iter().rev().find(|cte| cte.name == table)
        {
            let columns = match alias {
                Some(alias) => renamed(&cte.columns, alias)?,
                None => cte.columns.clone(),
            };
            return Ok((Source::Cte(cte.id), scope_item(item, label, columns)));
        }
        let Some(found) = catalog_relation(name, self.sees_information_schema) else {
            return Err(Error::unsupported(format!("\"{name}\" in a query over the client catalog")));
        };
        let mut columns: Vec<PlanColumn> = found
            .columns
            .iter()
            .map(|c| PlanColumn { name: c.name.to_owned(), type_oid: c.type_oid, fields: None })
            .collect();
        if let Some(alias) = alias {
            columns = renamed(&columns, alias)?;
        }
        let mut scope_item = scope_item(item, label, columns);
        scope_item.schema = alias.is_none().then(|| found.schema.to_owned());
        for (name, type_oid) in [("tableoid", oid::OID), ("xmin", oid::XID)] {
            let hidden = ScopeColumn { name: name.to_owned(), type_oid, fields: None, is_hidden: true };
            scope_item.columns.push(hidden);
        }
        Ok((Source::Relation(found), scope_item))
    }

    fn function(
        &mut self,
        name: &str,
        arguments: &[&ast::Expr],
        with_ordinality: bool,
        alias: Option<&ast::TableAlias>,
        item: usize,
    ) -> Result<(Source, ScopeItem)> {
        let label = alias.map_or_else(|| name.to_owned(), |a| folded(&a.name));
        let (source, mut columns) = match set_function::find(name) {
            Some(function) => {
                let arguments: Result<Vec<Bound>> = arguments.iter().map(|e| self.expr(e)).collect();
                let arguments = super::bind_function::checked(function.name, function.arguments, arguments?)?;
                let types: Vec<u32> = arguments.iter().map(|a| a.type_oid).collect();
                let columns = (function.columns)(&types);
                let columns = columns.into_iter().map(|(n, t)| (n.to_owned(), t)).collect::<Vec<_>>();
                let arguments = arguments.into_iter().map(|a| a.expr).collect();
                (Source::Function { function, arguments, types, with_ordinality }, columns)
            }
            None => {
                let value = self.call(name, arguments, None)?;
                (Source::Value(value.expr), vec![(name.to_owned(), value.type_oid)])
            }
        };
        let is_value = columns.len() == 1;
        if is_value && alias.is_some() {
            columns[0].0.clone_from(&label);
        }
        if with_ordinality {
            columns.push(("ordinality".to_owned(), oid::INT8));
        }
        let columns: Vec<PlanColumn> =
            columns.into_iter().map(|(name, type_oid)| PlanColumn { name, type_oid, fields: None }).collect();
        let columns = match alias {
            Some(alias) => renamed(&columns, alias)?,
            None => columns,
        };
        let mut found = scope_item(item, label, columns);
        found.is_value = is_value;
        Ok((source, found))
    }
}
