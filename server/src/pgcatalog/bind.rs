//! From the AST of a catalog query to a [`Plan`]: names become places, expressions get types.
//!
//! What this evaluator does not know answers 0A000, and the query goes to DataFusion instead.

use super::layout::{Layout, layout};
use super::plan::*;
use super::set_function;
use super::value::Value;
use crate::pg_types::oid;
use crate::query::error::position;
use crate::query::names::{figure_name, folded, last_part};
use catalog::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Span;
use std::sync::Arc;

/// A bound expression.
#[derive(Clone)]
pub(super) struct Bound {
    pub expr: Expr,
    pub type_oid: u32,
    pub fields: Fields,
}

impl Bound {
    pub(super) fn new(expr: Expr, type_oid: u32) -> Self {
        Self { expr, type_oid, fields: None }
    }
}

/// One column that a name may mean.
#[derive(Clone)]
pub(super) struct ScopeColumn {
    pub name: String,
    pub type_oid: u32,
    pub fields: Fields,
    /// Not part of `*`: system columns, and the second of a USING pair.
    pub is_hidden: bool,
}

/// One FROM item.
pub(super) struct ScopeItem {
    pub item: usize,
    pub schema: Option<String>,
    pub name: String,
    pub columns: Vec<ScopeColumn>,
    /// Its alias also names its only column.
    pub is_value: bool,
}

/// One query's FROM items, and what its expressions need to be computed before them.
#[derive(Default)]
pub(super) struct Scope {
    pub items: Vec<ScopeItem>,
    pub aggregates: Vec<Aggregate>,
    pub windows: Vec<Window>,
    pub sets: Vec<(&'static set_function::SetFunction, Vec<Expr>, Vec<u32>)>,
    /// Aggregates may stand here.
    pub allows_aggregates: bool,
}

pub(super) struct KnownCte {
    pub name: String,
    pub id: usize,
    pub columns: Vec<PlanColumn>,
}

/// Binds one statement.
pub(crate) struct Binder<'a> {
    text: &'a str,
    /// Whether bare names are also looked for in `information_schema`.
    pub(super) sees_information_schema: bool,
    pub(super) parameters: Vec<Option<u32>>,
    pub(super) scopes: Vec<Scope>,
    pub(super) ctes: Vec<KnownCte>,
    next_id: usize,
    /// The outermost scope that was looked at.
    pub(super) touched: usize,
}

impl<'a> Binder<'a> {
    /// A binder for a statement whose spans refer to `text`. `parameters` are the types that the
    /// client has declared.
    pub(crate) fn new(text: &'a str, sees_information_schema: bool, parameters: &[Option<u32>]) -> Self {
        Self {
            text,
            sees_information_schema,
            parameters: parameters.to_vec(),
            scopes: vec![],
            ctes: vec![],
            next_id: 0,
            touched: usize::MAX,
        }
    }

    /// Binds the whole query.
    pub(crate) fn bind(mut self, query: &ast::Query) -> Result<(Plan, Vec<Option<u32>>)> {
        let plan = self.query(query)?;
        Ok((plan, self.parameters))
    }

    /// An error with the place of a span.
    pub(super) fn at(&self, error: Error, span: Span) -> Error {
        match position(self.text, span.start.line, span.start.column) {
            Some(at) => error.with_position(at),
            None => error,
        }
    }

    fn id(&mut self) -> usize {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn scope(&mut self) -> Result<&mut Scope> {
        self.scopes.last_mut().ok_or_else(|| Error::unsupported("an expression outside of a query"))
    }

    pub(super) fn query(&mut self, query: &ast::Query) -> Result<Plan> {
        let (base, known) = (self.scopes.len(), self.ctes.len());
        let outer = std::mem::replace(&mut self.touched, usize::MAX);
        let ctes = self.with(query.with.as_ref())?;
        let order = match &query.order_by {
            None => &[][..],
            Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(list), interpolate: None }) => list.as_slice(),
            Some(_) => return Err(Error::unsupported("ORDER BY ALL")),
        };
        let (body, columns, order_by) = self.body(&query.body, order)?;
        let (limit, offset) = self.limit(query)?;
        self.ctes.truncate(known);
        let is_correlated = self.touched < base;
        self.touched = self.touched.min(outer);
        Ok(Plan { id: self.id(), ctes, body, order_by, limit, offset, columns, is_correlated })
    }

    fn limit(&mut self, query: &ast::Query) -> Result<(Option<Expr>, Option<Expr>)> {
        let mut bind = |expr: &ast::Expr| -> Result<Expr> {
            let bound = self.expr(expr)?;
            Ok(self.known(bound, oid::INT8)?.expr)
        };
        let (mut limit, mut offset) = (None, None);
        match &query.limit_clause {
            None => {}
            Some(ast::LimitClause::LimitOffset { limit: l, offset: o, limit_by }) if limit_by.is_empty() => {
                limit = l.as_ref().map(&mut bind).transpose()?;
                offset = o.as_ref().map(|o| bind(&o.value)).transpose()?;
            }
            Some(_) => return Err(Error::unsupported("this form of LIMIT")),
        }
        if let Some(fetch) = &query.fetch {
            if fetch.with_ties || fetch.percent {
                return Err(Error::unsupported("FETCH .. WITH TIES"));
            }
            limit = match &fetch.quantity {
                Some(quantity) => Some(bind(quantity)?),
                None => Some(Expr::Const(Value::Int(1))),
            };
        }
        Ok((limit, offset))
    }

    fn with(&mut self, with: Option<&ast::With>) -> Result<Vec<Cte>> {
        let mut ctes = vec![];
        let Some(with) = with else { return Ok(ctes) };
        for cte in &with.cte_tables {
            let name = folded(&cte.alias.name);
            let refers_to_itself = with.recursive
                && crate::query::resolve::relations(&cte.query)
                    .iter()
                    .any(|r| matches!(r.0.as_slice(), [ast::ObjectNamePart::Identifier(i)] if folded(i) == name));
            let id = self.id();
            let (plan, is_recursive) = if refers_to_itself {
                (self.recursive(cte, &name, id)?, true)
            } else {
                (self.query(&cte.query)?, false)
            };
            let columns = renamed(&plan.columns, &cte.alias)?;
            self.ctes.retain(|known| known.id != id);
            self.ctes.push(KnownCte { name, id, columns });
            ctes.push(Cte { id, plan: Arc::new(plan), is_recursive });
        }
        Ok(ctes)
    }

    fn recursive(&mut self, cte: &ast::Cte, name: &str, id: usize) -> Result<Plan> {
        let ast::SetExpr::SetOperation { op: ast::SetOperator::Union, set_quantifier, left, right } =
            cte.query.body.as_ref()
        else {
            return Err(Error::unsupported("a recursive query without UNION"));
        };
        let (base, outer) = (self.scopes.len(), std::mem::replace(&mut self.touched, usize::MAX));
        let left = self.operand(left)?;
        let columns = renamed(&left.columns, &cte.alias)?;
        self.ctes.push(KnownCte { name: name.to_owned(), id, columns });
        let right = self.operand(right)?;
        check_width(&left, &right)?;
        let is_correlated = self.touched < base;
        self.touched = self.touched.min(outer);
        let columns = left.columns.clone();
        let all = matches!(set_quantifier, ast::SetQuantifier::All);
        let body = Body::Set { operation: SetOperation::Union, all, left: Arc::new(left), right: Arc::new(right) };
        Ok(Plan {
            id: self.id(),
            ctes: vec![],
            body,
            order_by: vec![],
            limit: None,
            offset: None,
            columns,
            is_correlated,
        })
    }

    /// One side of a set operation.
    fn operand(&mut self, body: &ast::SetExpr) -> Result<Plan> {
        if let ast::SetExpr::Query(query) = body {
            return self.query(query);
        }
        let (base, outer) = (self.scopes.len(), std::mem::replace(&mut self.touched, usize::MAX));
        let (body, columns, order_by) = self.body(body, &[])?;
        let is_correlated = self.touched < base;
        self.touched = self.touched.min(outer);
        Ok(Plan { id: self.id(), ctes: vec![], body, order_by, limit: None, offset: None, columns, is_correlated })
    }

    fn body(
        &mut self,
        body: &ast::SetExpr,
        order: &[ast::OrderByExpr],
    ) -> Result<(Body, Vec<PlanColumn>, Vec<SortKey>)> {
        match body {
            ast::SetExpr::Select(select) => self.select(select, order),
            ast::SetExpr::Query(query) => {
                let inner = self.query(query)?;
                let columns = inner.columns.clone();
                let keys = output_order(&columns, order)?;
                // A query in parentheses is a set operation with nothing.
                let nothing = Plan {
                    id: self.id(),
                    ctes: vec![],
                    body: Body::Values(vec![]),
                    order_by: vec![],
                    limit: None,
                    offset: None,
                    columns: columns.clone(),
                    is_correlated: false,
                };
                let body = Body::Set {
                    operation: SetOperation::Union,
                    all: true,
                    left: Arc::new(inner),
                    right: Arc::new(nothing),
                };
                Ok((body, columns, keys))
            }
            ast::SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let operation = match op {
                    ast::SetOperator::Union => SetOperation::Union,
                    ast::SetOperator::Except | ast::SetOperator::Minus => SetOperation::Except,
                    ast::SetOperator::Intersect => SetOperation::Intersect,
                };
                let left = self.operand(left)?;
                let right = self.operand(right)?;
                check_width(&left, &right)?;
                let columns: Vec<PlanColumn> = left
                    .columns
                    .iter()
                    .zip(&right.columns)
                    .map(|(l, r)| {
                        if l.type_oid == oid::UNKNOWN {
                            PlanColumn { name: l.name.clone(), ..r.clone() }
                        } else {
                            l.clone()
                        }
                    })
                    .collect();
                let keys = output_order(&columns, order)?;
                let all = matches!(set_quantifier, ast::SetQuantifier::All);
                Ok((Body::Set { operation, all, left: Arc::new(left), right: Arc::new(right) }, columns, keys))
            }
            ast::SetExpr::Values(values) => {
                self.scopes.push(Scope::default());
                let mut rows: Vec<Vec<Bound>> = vec![];
                for row in &values.rows {
                    let row: Result<Vec<Bound>> = row.content.iter().map(|e| self.expr(e)).collect();
                    rows.push(row?);
                }
                self.scopes.pop();
                let width = rows.first().map_or(0, Vec::len);
                if rows.iter().any(|row| row.len() != width) {
                    return Err(Error::new(ErrorKind::Syntax, "VALUES lists must all be the same length"));
                }
                let columns: Vec<PlanColumn> = (0..width)
                    .map(|i| PlanColumn {
                        name: format!("column{}", i + 1),
                        type_oid: rows
                            .iter()
                            .map(|r| r[i].type_oid)
                            .find(|t| *t != oid::UNKNOWN)
                            .unwrap_or(oid::UNKNOWN),
                        fields: None,
                    })
                    .collect();
                let keys = output_order(&columns, order)?;
                let rows = rows.into_iter().map(|row| row.into_iter().map(|b| b.expr).collect()).collect();
                Ok((Body::Values(rows), columns, keys))
            }
            _ => Err(Error::unsupported("this form of query over the client catalog")),
        }
    }

    fn select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
    ) -> Result<(Body, Vec<PlanColumn>, Vec<SortKey>)> {
        if select.top.is_some()
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || select.qualify.is_some()
            || !select.named_window.is_empty()
        {
            return Err(Error::unsupported("this form of SELECT over the client catalog"));
        }
        self.scopes.push(Scope::default());
        let result = self.select_in_scope(select, order);
        self.scopes.pop();
        result
    }

    fn select_in_scope(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
    ) -> Result<(Body, Vec<PlanColumn>, Vec<SortKey>)> {
        let mut filters = vec![];
        let mut items = vec![];
        let mut count = 0;
        for table in &select.from {
            self.table_with_joins(table, &mut items, &mut filters, &mut count)?;
        }
        if let Some(condition) = &select.selection {
            let condition = self.condition(condition)?;
            conjuncts(condition, &mut filters);
        }
        self.scope()?.allows_aggregates = true;
        // The select list.
        let mut projection: Vec<Expr> = vec![];
        let mut columns: Vec<PlanColumn> = vec![];
        let mut sources: Vec<Option<&ast::Expr>> = vec![];
        for item in &select.projection {
            let (expr, name) = match item {
                ast::SelectItem::UnnamedExpr(expr) => (expr, figure_name(expr)),
                ast::SelectItem::ExprWithAlias { expr, alias } => (expr, folded(alias)),
                ast::SelectItem::Wildcard(options) if is_plain(options) => {
                    self.star(None, &mut projection, &mut columns)?;
                    sources.resize(projection.len(), None);
                    continue;
                }
                ast::SelectItem::QualifiedWildcard(kind, options) if is_plain(options) => {
                    match kind {
                        ast::SelectItemQualifiedWildcardKind::ObjectName(name) => {
                            self.star(Some(name), &mut projection, &mut columns)?;
                        }
                        ast::SelectItemQualifiedWildcardKind::Expr(expr) => {
                            let record = self.expr(expr)?;
                            for (i, (name, type_oid)) in record.fields.iter().flat_map(|f| f.iter()).enumerate() {
                                projection.push(Expr::Field(Box::new(record.expr.clone()), i));
                                columns.push(PlanColumn { name: name.clone(), type_oid: *type_oid, fields: None });
                            }
                        }
                    }
                    sources.resize(projection.len(), None);
                    continue;
                }
                _ => return Err(Error::unsupported("this form of select list over the client catalog")),
            };
            let bound = self.expr(expr)?;
            projection.push(bound.expr);
            columns.push(PlanColumn { name, type_oid: bound.type_oid, fields: bound.fields });
            sources.push(Some(expr));
        }
        let visible = projection.len();
        let group_by = self.group_by(select, &projection, &columns)?;
        let having = select.having.as_ref().map(|h| self.condition(h)).transpose()?;
        // DISTINCT ON and ORDER BY may name outputs or compute something of their own.
        let mut place = |binder: &mut Self, expr: &ast::Expr| -> Result<usize> {
            if let Some(found) = output_place(expr, &columns)? {
                return Ok(found);
            }
            if let Some(found) = sources.iter().position(|s| *s == Some(expr)) {
                return Ok(found);
            }
            projection.push(binder.expr(expr)?.expr);
            Ok(projection.len() - 1)
        };
        let distinct = match &select.distinct {
            None | Some(ast::Distinct::All) => Distinct::No,
            Some(ast::Distinct::Distinct) => Distinct::All,
            Some(ast::Distinct::On(list)) => {
                Distinct::On(list.iter().map(|e| place(self, e)).collect::<Result<Vec<_>>>()?)
            }
        };
        let mut keys = vec![];
        for key in order {
            let column = place(self, &key.expr)?;
            keys.push(sort_key(column, &key.options));
        }
        if matches!(distinct, Distinct::All) && projection.len() > visible {
            return Err(Error::new(
                ErrorKind::NoKey,
                "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
            ));
        }
        let scope = std::mem::take(self.scope()?);
        let grouped = group_by.is_some() || having.is_some() || !scope.aggregates.is_empty();
        let (from, filters) = super::join_order::arrange(items, filters)?;
        let select = Select {
            from,
            item_count: count,
            filters,
            group_by: grouped.then(|| group_by.unwrap_or_default()),
            aggregates: scope.aggregates,
            having,
            windows: scope.windows,
            sets: scope.sets,
            projection,
            visible,
            distinct,
        };
        Ok((Body::Select(Box::new(select)), columns, keys))
    }

    fn group_by(
        &mut self,
        select: &ast::Select,
        projection: &[Expr],
        columns: &[PlanColumn],
    ) -> Result<Option<Vec<Expr>>> {
        let ast::GroupByExpr::Expressions(list, modifiers) = &select.group_by else {
            return Err(Error::unsupported("GROUP BY ALL"));
        };
        if !modifiers.is_empty() {
            return Err(Error::unsupported("GROUP BY with modifiers"));
        }
        if list.is_empty() {
            return Ok(None);
        }
        let mut exprs = vec![];
        for expr in list {
            let ordinal = match expr {
                ast::Expr::Value(v) => matches!(v.value, ast::Value::Number(..)),
                _ => false,
            };
            if ordinal && let Some(place) = output_place(expr, columns)? {
                exprs.push(projection[place].clone());
                continue;
            }
            match (self.expr(expr), output_place(expr, columns)?) {
                (Ok(bound), _) => exprs.push(bound.expr),
                (Err(_), Some(place)) => exprs.push(projection[place].clone()),
                (Err(error), None) => return Err(error),
            }
        }
        Ok(Some(exprs))
    }

    fn star(
        &mut self,
        of: Option<&ast::ObjectName>,
        exprs: &mut Vec<Expr>,
        columns: &mut Vec<PlanColumn>,
    ) -> Result<()> {
        let wanted = of.map(last_part);
        let mut found = false;
        for item in &self.scope()?.items {
            if wanted.as_ref().is_some_and(|name| *name != item.name) {
                continue;
            }
            found = true;
            for (number, column) in item.columns.iter().enumerate().filter(|(_, c)| !c.is_hidden) {
                exprs.push(Expr::Column { depth: 0, item: item.item, column: number });
                columns.push(PlanColumn {
                    name: column.name.clone(),
                    type_oid: column.type_oid,
                    fields: column.fields.clone(),
                });
            }
        }
        match of {
            Some(name) if !found => Err(Error::new(
                ErrorKind::UndefinedTable,
                format!("missing FROM-clause entry for table \"{}\"", last_part(name)),
            )),
            None if !found => Err(Error::new(ErrorKind::Syntax, "SELECT * with no tables specified is not valid")),
            _ => {
                let scope = self.scopes.len().saturating_sub(1);
                self.touched = self.touched.min(scope);
                Ok(())
            }
        }
    }

    /// A condition: an expression of type boolean.
    pub(super) fn condition(&mut self, expr: &ast::Expr) -> Result<Expr> {
        let bound = self.expr(expr)?;
        let bound = self.known(bound, oid::BOOL)?;
        if bound.type_oid != oid::BOOL {
            return Err(Error::new(ErrorKind::TypeMismatch, "argument of WHERE must be type boolean"));
        }
        Ok(bound.expr)
    }
}

/// The catalog relation that a name means.
pub(crate) fn catalog_relation(name: &ast::ObjectName, sees_information_schema: bool) -> Option<&'static Layout> {
    let parts: Vec<String> = name.0.iter().filter_map(|p| p.as_ident()).map(folded).collect();
    match parts.as_slice() {
        [table] => layout("pg_catalog", table)
            .or_else(|| if sees_information_schema { layout("information_schema", table) } else { None }),
        [schema, table] | [_, schema, table] => layout(schema, table),
        _ => None,
    }
}

/// Splits at AND.
pub(super) fn conjuncts(expr: Expr, into: &mut Vec<Expr>) {
    match expr {
        Expr::And(list) => list.into_iter().for_each(|e| conjuncts(e, into)),
        other => into.push(other),
    }
}

fn is_plain(options: &ast::WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
}

pub(super) fn scope_item(item: usize, name: String, columns: Vec<PlanColumn>) -> ScopeItem {
    let columns = columns
        .into_iter()
        .map(|c| ScopeColumn { name: c.name, type_oid: c.type_oid, fields: c.fields, is_hidden: false })
        .collect();
    ScopeItem { item, schema: None, name, columns, is_value: false }
}

/// Columns under the names of an alias, as far as it has names.
pub(super) fn renamed(columns: &[PlanColumn], alias: &ast::TableAlias) -> Result<Vec<PlanColumn>> {
    if alias.columns.len() > columns.len() {
        return Err(Error::new(
            ErrorKind::Remote("42P10".into()),
            format!(
                "table \"{}\" has {} columns available but {} columns specified",
                folded(&alias.name),
                columns.len(),
                alias.columns.len()
            ),
        ));
    }
    let mut columns = columns.to_vec();
    for (column, name) in columns.iter_mut().zip(&alias.columns) {
        column.name = folded(&name.name);
    }
    Ok(columns)
}

fn check_width(left: &Plan, right: &Plan) -> Result<()> {
    if left.columns.len() == right.columns.len() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Syntax, "each query of a set operation must have the same number of columns"))
}

/// The output that an ORDER BY or GROUP BY item names: by number or by name.
fn output_place(expr: &ast::Expr, columns: &[PlanColumn]) -> Result<Option<usize>> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(number, _) => match number.parse::<usize>() {
                Ok(n) if (1..=columns.len()).contains(&n) => Ok(Some(n - 1)),
                _ => Err(Error::new(ErrorKind::NoKey, format!("ORDER BY position {number} is not in select list"))),
            },
            _ => Ok(None),
        },
        ast::Expr::Identifier(ident) => {
            let name = folded(ident);
            Ok(columns.iter().position(|c| c.name == name))
        }
        _ => Ok(None),
    }
}

fn output_order(columns: &[PlanColumn], order: &[ast::OrderByExpr]) -> Result<Vec<SortKey>> {
    order
        .iter()
        .map(|key| match output_place(&key.expr, columns)? {
            Some(column) => Ok(sort_key(column, &key.options)),
            None => Err(Error::unsupported("ORDER BY of an expression after a set operation")),
        })
        .collect()
}

pub(super) fn direction(options: &ast::OrderByOptions) -> (bool, bool) {
    let descending = options.asc == Some(false);
    (descending, options.nulls_first.unwrap_or(descending))
}

fn sort_key(column: usize, options: &ast::OrderByOptions) -> SortKey {
    let (descending, nulls_first) = direction(options);
    SortKey { column, descending, nulls_first }
}
