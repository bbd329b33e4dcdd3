//! Runs a bound catalog query over the rows of a [`Catalog`].
//!
//! Everything is in memory and small, so rows are simply made, joined, grouped and sorted. A query
//! looks at its session now and then and ends when it was canceled, or when it does far more work
//! than a catalog query does.

use super::evaluate::{Env, Tuple};
use super::function::Call;
use super::layout::Layout;
use super::plan::*;
use super::rows::of_relations;
use super::snapshot::{Catalog, Table};
use super::text_function::json;
use super::value::{Key, Row, Value, compare, key, sort_order};
use catalog::{Error, ErrorKind, Result};
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::watch;

/// Joined rows of one query at most.
const STEPS_MAX: u64 = 200_000_000;
/// Rows of one recursive query at most.
const RECURSIVE_ROWS_MAX: usize = 100_000;
/// Steps between two looks at the session.
const STEPS_PER_LOOK: u64 = 4096;

/// Runs one statement.
pub(crate) struct Runner<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) parameters: &'a [Value],
    canceled: watch::Receiver<u64>,
    steps: Cell<u64>,
    /// Rows of queries that do not look at outer rows.
    cache: RefCell<HashMap<usize, Arc<Table>>>,
    ctes: RefCell<HashMap<usize, Arc<Table>>>,
    /// Inside of a recursive query nothing is cached: its own rows change.
    recursion: Cell<usize>,
}

impl<'a> Runner<'a> {
    /// A run with these parameters.
    pub(crate) fn new(catalog: &'a Catalog, parameters: &'a [Value]) -> Self {
        Self {
            catalog,
            parameters,
            canceled: catalog.scope.session.canceled(),
            steps: Cell::new(0),
            cache: RefCell::default(),
            ctes: RefCell::default(),
            recursion: Cell::new(0),
        }
    }

    /// All rows of the query.
    pub(crate) fn run(&self, plan: &Plan) -> Result<Vec<Row>> {
        self.query(plan, None)
    }

    /// Counts work, and ends it when it was canceled or is too much.
    fn step(&self) -> Result<()> {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps.is_multiple_of(STEPS_PER_LOOK) {
            if self.canceled.has_changed().unwrap_or(true) || self.catalog.scope.stop.load(Relaxed) {
                return Err(Error::new(ErrorKind::Canceled, "canceling statement due to user request"));
            }
            if steps > STEPS_MAX {
                return Err(Error::new(ErrorKind::TooComplex, "the catalog query joins too many rows")
                    .with_hint("Join catalog tables by their oids."));
            }
        }
        Ok(())
    }

    /// The rows of a query inside of an expression or FROM, kept when they cannot change.
    pub(super) fn rows(&self, plan: &Plan, env: &Env<'_>) -> Result<Arc<Table>> {
        let keeps = !plan.is_correlated && self.recursion.get() == 0;
        if keeps && let Some(table) = self.cache.borrow().get(&plan.id) {
            return Ok(table.clone());
        }
        let table = Table::new(self.query(plan, Some(env))?);
        if keeps {
            self.cache.borrow_mut().insert(plan.id, table.clone());
        }
        Ok(table)
    }

    fn query(&self, plan: &Plan, outer: Option<&Env<'_>>) -> Result<Vec<Row>> {
        self.step()?;
        for cte in &plan.ctes {
            let rows = match cte.is_recursive {
                true => self.recursive(cte, outer)?,
                false => self.query(&cte.plan, outer)?,
            };
            self.ctes.borrow_mut().insert(cte.id, Table::new(rows));
        }
        let mut rows = match &plan.body {
            Body::Values(rows) => {
                let env = Env::of(&[], outer);
                rows.iter().map(|row| self.values(row, &env)).collect::<Result<Vec<_>>>()?
            }
            Body::Select(select) => self.select(select, &plan.order_by, outer)?,
            Body::Set { operation, all, left, right } => {
                let left = self.query(left, outer)?;
                let right = self.query(right, outer)?;
                combine(*operation, *all, left, right)
            }
        };
        // A select has sorted its rows itself: its hidden columns are gone by now.
        if !matches!(plan.body, Body::Select(_)) && !plan.order_by.is_empty() {
            rows.sort_by(|a, b| sorted(&plan.order_by, a, b));
        }
        let number = |expr: &Option<Expr>| -> Result<Option<usize>> {
            let Some(expr) = expr else { return Ok(None) };
            let value = self.value(expr, &Env::of(&[], outer))?;
            match value.as_int() {
                Some(n) if n < 0 => Err(Error::new(ErrorKind::Remote("2201W".into()), "LIMIT must not be negative")),
                Some(n) => Ok(usize::try_from(n).ok()),
                None => Ok(None),
            }
        };
        if let Some(skip) = number(&plan.offset)? {
            rows.drain(..skip.min(rows.len()));
        }
        if let Some(limit) = number(&plan.limit)? {
            rows.truncate(limit);
        }
        Ok(rows)
    }

    fn recursive(&self, cte: &Cte, outer: Option<&Env<'_>>) -> Result<Vec<Row>> {
        let Body::Set { all, left, right, .. } = &cte.plan.body else {
            return Err(Error::internal("a recursive query is no union"));
        };
        let mut seen: HashSet<Vec<Key>> = HashSet::new();
        let mut fresh = |rows: Vec<Row>| -> Vec<Row> {
            if *all {
                rows
            } else {
                rows.into_iter().filter(|row| seen.insert(row.iter().map(key).collect())).collect()
            }
        };
        let mut rows = fresh(self.query(left, outer)?);
        let mut last = rows.clone();
        self.recursion.set(self.recursion.get() + 1);
        let result = loop {
            if last.is_empty() {
                break Ok(());
            }
            self.ctes.borrow_mut().insert(cte.id, Table::new(std::mem::take(&mut last)));
            match self.query(right, outer) {
                Ok(next) => last = fresh(next),
                Err(error) => break Err(error),
            }
            rows.extend(last.iter().cloned());
            if rows.len() > RECURSIVE_ROWS_MAX {
                break Err(Error::new(ErrorKind::TooComplex, "the recursive catalog query does not end"));
            }
        };
        self.recursion.set(self.recursion.get() - 1);
        result.map(|()| rows)
    }

    fn select(&self, select: &Select, order: &[SortKey], outer: Option<&Env<'_>>) -> Result<Vec<Row>> {
        let tuples = self.joined(&select.from, vec![vec![None; select.item_count]], outer)?;
        let mut kept = vec![];
        for tuple in tuples {
            if self.holds(&select.filters, &Env::of(&tuple, outer))? {
                kept.push(tuple);
            }
        }
        let groups: Vec<(Tuple, Vec<Value>)> = match &select.group_by {
            None => kept.into_iter().map(|tuple| (tuple, vec![])).collect(),
            Some(exprs) => self.grouped(select, exprs, kept, outer)?,
        };
        let windows = self.windows(select, &groups, outer)?;
        let mut rows = vec![];
        for (number, (tuple, aggregates)) in groups.iter().enumerate() {
            let empty = vec![];
            let env = Env { aggregates, windows: windows.get(number).unwrap_or(&empty), ..Env::of(tuple, outer) };
            if let Some(having) = &select.having
                && !self.value(having, &env)?.is_true()
            {
                continue;
            }
            if select.sets.is_empty() {
                rows.push(self.values(&select.projection, &env)?);
                continue;
            }
            for values in self.set_rows(select, &env)? {
                self.step()?;
                rows.push(self.values(&select.projection, &Env { sets: &values, ..env })?);
            }
        }
        if matches!(select.distinct, Distinct::All) {
            let mut seen = HashSet::new();
            rows.retain(|row: &Row| seen.insert(row.iter().take(select.visible).map(key).collect::<Vec<_>>()));
        }
        rows.sort_by(|a, b| sorted(order, a, b));
        if let Distinct::On(places) = &select.distinct {
            let mut seen = HashSet::new();
            rows.retain(|row| seen.insert(places.iter().map(|&p| key(&row[p])).collect::<Vec<_>>()));
        }
        for row in &mut rows {
            row.truncate(select.visible);
        }
        Ok(rows)
    }

    /// The values of set-returning functions in the select list, row by row, the short ones filled
    /// up with NULL.
    fn set_rows(&self, select: &Select, env: &Env<'_>) -> Result<Vec<Vec<Value>>> {
        let mut columns: Vec<Vec<Value>> = vec![];
        for (function, arguments, types) in &select.sets {
            let arguments = self.values(arguments, env)?;
            let rows = (function.call)(&Call { arguments: &arguments, types, catalog: self.catalog })?;
            let is_value = (function.columns)(types).len() == 1;
            let values = rows.into_iter().map(|mut row| match is_value {
                true => row.pop().unwrap_or(Value::Null),
                false => Value::Record(Arc::new(row)),
            });
            columns.push(values.collect());
        }
        let count = columns.iter().map(Vec::len).max().unwrap_or(0);
        Ok((0..count).map(|i| columns.iter().map(|c| c.get(i).cloned().unwrap_or(Value::Null)).collect()).collect())
    }

    // FROM.

    fn joined(&self, items: &[FromItem], start: Vec<Tuple>, outer: Option<&Env<'_>>) -> Result<Vec<Tuple>> {
        let mut tuples = start;
        for item in items {
            tuples = self.join(item, tuples, outer)?;
        }
        Ok(tuples)
    }

    fn join(&self, item: &FromItem, left: Vec<Tuple>, outer: Option<&Env<'_>>) -> Result<Vec<Tuple>> {
        let mut out = vec![];
        let part = self.part_key(item);
        let fixed = if part.is_some() { None } else { self.fixed(item, outer)? };
        let mut matched: HashSet<usize> = HashSet::new();
        for tuple in &left {
            let mut found = false;
            let places: Option<Vec<usize>> = match &fixed {
                Some(Fixed::Table(table)) if !item.key.is_empty() => Some(self.lookup(item, table, tuple, outer)?),
                _ => None,
            };
            let rows: Vec<Extension> = match (&fixed, places) {
                (Some(Fixed::Table(table)), Some(places)) => {
                    places.into_iter().map(|p| Extension::Row(p, table.rows[p].clone())).collect()
                }
                (Some(Fixed::Table(table)), None) => {
                    table.rows.iter().enumerate().map(|(p, row)| Extension::Row(p, row.clone())).collect()
                }
                (Some(Fixed::Tuples(tuples)), _) => {
                    tuples.iter().enumerate().map(|(p, t)| Extension::Tuple(p, t.clone())).collect()
                }
                (None, _) if part.is_some() => self
                    .part(item, part, tuple, outer)?
                    .into_iter()
                    .enumerate()
                    .map(|(place, row)| Extension::Row(place, row))
                    .collect(),
                (None, _) => self
                    .lateral(item, tuple, outer)?
                    .into_iter()
                    .enumerate()
                    .map(|(p, row)| Extension::Row(p, Arc::new(row)))
                    .collect(),
            };
            for extension in rows {
                self.step()?;
                let mut next = tuple.clone();
                let place = match extension {
                    Extension::Row(place, row) => {
                        next[item.item] = Some(row);
                        place
                    }
                    Extension::Tuple(place, inner) => {
                        for (slot, row) in next.iter_mut().zip(inner) {
                            if row.is_some() {
                                *slot = row;
                            }
                        }
                        place
                    }
                };
                if !self.holds(&item.on, &Env::of(&next, outer))? {
                    continue;
                }
                found = true;
                if matches!(item.join, Join::Right | Join::Full) {
                    matched.insert(place);
                }
                if self.holds(&item.filters, &Env::of(&next, outer))? {
                    out.push(next);
                }
            }
            if !found
                && matches!(item.join, Join::Left | Join::Full)
                && self.holds(&item.filters, &Env::of(tuple, outer))?
            {
                out.push(tuple.clone());
            }
        }
        if matches!(item.join, Join::Right | Join::Full) {
            let width = left.first().map_or(0, Vec::len).max(item.item + 1);
            let unmatched: Vec<Tuple> = match &fixed {
                Some(Fixed::Table(table)) => table
                    .rows
                    .iter()
                    .enumerate()
                    .filter(|(place, _)| !matched.contains(place))
                    .map(|(_, row)| {
                        let mut tuple = vec![None; width];
                        tuple[item.item] = Some(row.clone());
                        tuple
                    })
                    .collect(),
                Some(Fixed::Tuples(tuples)) => tuples
                    .iter()
                    .enumerate()
                    .filter(|(place, _)| !matched.contains(place))
                    .map(|(_, tuple)| tuple.clone())
                    .collect(),
                None => vec![],
            };
            for tuple in unmatched {
                if self.holds(&item.filters, &Env::of(&tuple, outer))? {
                    out.push(tuple);
                }
            }
        }
        Ok(out)
    }

    /// The part of an item's key that says to which relation the wanted rows of a catalog relation
    /// belong, so that not all of its rows must be made.
    fn part_key<'p>(&self, item: &'p FromItem) -> Option<(&'static Layout, usize, &'p Expr)> {
        let Source::Relation(layout) = &item.source else { return None };
        let columns = of_relations(layout.name).filter(|_| layout.schema == "pg_catalog")?;
        let found =
            item.key.iter().find(|(column, _)| layout.columns.get(*column).is_some_and(|c| columns.contains(&c.name)));
        found.map(|(column, expr)| (*layout, *column, expr))
    }

    /// The rows for one row to the left of an item with such a key.
    fn part(
        &self,
        item: &FromItem,
        part: Option<(&'static Layout, usize, &Expr)>,
        tuple: &Tuple,
        outer: Option<&Env<'_>>,
    ) -> Result<Vec<Arc<Row>>> {
        let Some((layout, column, expr)) = part else { return Ok(vec![]) };
        let value = self.value(expr, &Env::of(tuple, outer))?;
        if value.is_null() {
            return Ok(vec![]);
        }
        if let Some(table) = self.catalog.part(layout, column, &value) {
            return Ok(table.rows.clone());
        }
        let table = self.catalog.table(layout);
        let places = self.lookup(item, &table, tuple, outer)?;
        Ok(places.into_iter().map(|place| table.rows[place].clone()).collect())
    }

    /// The rows of an item that are the same for every row to its left.
    fn fixed(&self, item: &FromItem, outer: Option<&Env<'_>>) -> Result<Option<Fixed>> {
        Ok(match &item.source {
            Source::Relation(layout) => Some(Fixed::Table(self.catalog.table(layout))),
            Source::Cte(id) => {
                let table = self.ctes.borrow().get(id).cloned();
                Some(Fixed::Table(table.ok_or_else(|| Error::internal("a WITH query has not been run"))?))
            }
            Source::Query { plan, is_lateral: false } => {
                let nothing = Env::of(&[], None);
                Some(Fixed::Table(self.rows(plan, outer.unwrap_or(&nothing))?))
            }
            Source::Group(items) => {
                let width = items.iter().map(width_of).max().unwrap_or(0);
                Some(Fixed::Tuples(self.joined(items, vec![vec![None; width]], outer)?))
            }
            Source::Query { .. } | Source::Function { .. } | Source::Value(_) => None,
        })
    }

    /// The rows of an item that the rows to its left decide.
    fn lateral(&self, item: &FromItem, tuple: &Tuple, outer: Option<&Env<'_>>) -> Result<Vec<Row>> {
        let env = Env::of(tuple, outer);
        match &item.source {
            Source::Query { plan, .. } => self.query(plan, Some(&env)),
            Source::Value(expr) => Ok(vec![vec![self.value(expr, &env)?]]),
            Source::Function { function, arguments, types, with_ordinality } => {
                let arguments = self.values(arguments, &env)?;
                let mut rows = (function.call)(&Call { arguments: &arguments, types, catalog: self.catalog })?;
                if *with_ordinality {
                    for (number, row) in rows.iter_mut().enumerate() {
                        row.push(Value::Int(number as i64 + 1));
                    }
                }
                Ok(rows)
            }
            Source::Relation(_) | Source::Cte(_) | Source::Group(_) => Ok(vec![]),
        }
    }

    fn lookup(&self, item: &FromItem, table: &Table, tuple: &Tuple, outer: Option<&Env<'_>>) -> Result<Vec<usize>> {
        let env = Env::of(tuple, outer);
        let columns: Vec<usize> = item.key.iter().map(|(column, _)| *column).collect();
        let mut keys = vec![];
        for (_, expr) in &item.key {
            let value = self.value(expr, &env)?;
            if value.is_null() {
                return Ok(vec![]);
            }
            keys.push(key(&value));
        }
        Ok(table.index(&columns).get(&keys).cloned().unwrap_or_default())
    }

    // Groups and windows.

    fn grouped(
        &self,
        select: &Select,
        exprs: &[Expr],
        tuples: Vec<Tuple>,
        outer: Option<&Env<'_>>,
    ) -> Result<Vec<(Tuple, Vec<Value>)>> {
        let mut places: HashMap<Vec<Key>, usize> = HashMap::new();
        let mut groups: Vec<Vec<Tuple>> = vec![];
        for tuple in tuples {
            let env = Env::of(&tuple, outer);
            let group: Vec<Key> = self.values(exprs, &env)?.iter().map(key).collect();
            let place = *places.entry(group).or_insert_with(|| {
                groups.push(vec![]);
                groups.len() - 1
            });
            groups[place].push(tuple);
        }
        if groups.is_empty() && exprs.is_empty() {
            groups.push(vec![]);
        }
        let mut out = vec![];
        for group in groups {
            let values: Result<Vec<Value>> =
                select.aggregates.iter().map(|a| self.aggregate(a, &group, outer)).collect();
            let first = group.into_iter().next().unwrap_or_else(|| vec![None; select.item_count]);
            out.push((first, values?));
        }
        Ok(out)
    }

    fn aggregate(&self, aggregate: &Aggregate, group: &[Tuple], outer: Option<&Env<'_>>) -> Result<Value> {
        let mut rows: Vec<(Vec<Value>, Vec<Value>)> = vec![];
        for tuple in group {
            self.step()?;
            let env = Env::of(tuple, outer);
            if let Some(filter) = &aggregate.filter
                && !self.value(filter, &env)?.is_true()
            {
                continue;
            }
            let keys: Result<Vec<Value>> = aggregate.order_by.iter().map(|(e, ..)| self.value(e, &env)).collect();
            rows.push((self.values(&aggregate.arguments, &env)?, keys?));
        }
        if aggregate.distinct {
            let mut seen = HashSet::new();
            rows.retain(|(values, _)| seen.insert(values.iter().map(key).collect::<Vec<_>>()));
        }
        if !aggregate.order_by.is_empty() {
            rows.sort_by(|a, b| ordered(&aggregate.order_by, &a.1, &b.1));
        } else if aggregate.distinct {
            // PostgreSQL sorts to find duplicates, and clients have come to see sorted lists.
            rows.sort_by(|a, b| a.0.first().zip(b.0.first()).map_or(Ordering::Equal, |(a, b)| sort_order(a, b)));
        }
        let mut values = rows.iter().map(|(values, _)| values.first().cloned().unwrap_or(Value::Null));
        let known = |values: &mut dyn Iterator<Item = Value>| values.filter(|v| !v.is_null()).collect::<Vec<_>>();
        Ok(match aggregate.kind {
            AggregateKind::CountRows => Value::Int(rows.len() as i64),
            AggregateKind::Count => Value::Int(known(&mut values).len() as i64),
            AggregateKind::Min | AggregateKind::Max => {
                let wanted = if aggregate.kind == AggregateKind::Min { Ordering::Less } else { Ordering::Greater };
                let mut best = Value::Null;
                for value in known(&mut values) {
                    if best.is_null() || compare(&value, &best) == Some(wanted) {
                        best = value;
                    }
                }
                best
            }
            AggregateKind::Sum | AggregateKind::Avg => {
                let values = known(&mut values);
                if values.is_empty() {
                    return Ok(Value::Null);
                }
                let is_whole = values.iter().all(|v| matches!(v, Value::Int(_)));
                if is_whole && aggregate.kind == AggregateKind::Sum {
                    let sum = values.iter().filter_map(Value::as_int).try_fold(0i64, i64::checked_add);
                    return sum
                        .map(Value::Int)
                        .ok_or_else(|| Error::new(ErrorKind::NumericRange, "bigint out of range"));
                }
                let float = |v: &Value| if let Value::Float(f) = v { *f } else { v.as_int().unwrap_or(0) as f64 };
                let sum: f64 = values.iter().map(float).sum();
                Value::Float(if aggregate.kind == AggregateKind::Sum { sum } else { sum / values.len() as f64 })
            }
            AggregateKind::BoolAnd | AggregateKind::BoolOr => {
                let values = known(&mut values);
                let is_and = aggregate.kind == AggregateKind::BoolAnd;
                match values.is_empty() {
                    true => Value::Null,
                    false if is_and => Value::Bool(values.iter().all(Value::is_true)),
                    false => Value::Bool(values.iter().any(Value::is_true)),
                }
            }
            AggregateKind::ArrayAgg => {
                let values: Vec<Value> = values.collect();
                if values.is_empty() { Value::Null } else { Value::list(values) }
            }
            AggregateKind::JsonAgg => {
                let values: Vec<serde_json::Value> = values.map(|v| json(&v)).collect();
                if values.is_empty() { Value::Null } else { serde_json::Value::Array(values).to_string().into() }
            }
            AggregateKind::StringAgg => {
                let mut text: Option<String> = None;
                for (values, _) in &rows {
                    let Some(part) =
                        values.first().and_then(|v| super::object::text(v, aggregate.type_oid, self.catalog))
                    else {
                        continue;
                    };
                    let separator = values.get(1).and_then(Value::as_str).unwrap_or("");
                    text = Some(match text {
                        Some(text) => text + separator + &part,
                        None => part,
                    });
                }
                text.into()
            }
        })
    }

    /// The values of window functions, for every row.
    fn windows(
        &self,
        select: &Select,
        groups: &[(Tuple, Vec<Value>)],
        outer: Option<&Env<'_>>,
    ) -> Result<Vec<Vec<Value>>> {
        if select.windows.is_empty() {
            return Ok(vec![]);
        }
        let mut out = vec![vec![Value::Null; select.windows.len()]; groups.len()];
        for (number, window) in select.windows.iter().enumerate() {
            let mut partitions: BTreeMap<Vec<Key>, Vec<(usize, Vec<Value>)>> = BTreeMap::new();
            for (place, (tuple, aggregates)) in groups.iter().enumerate() {
                let env = Env { aggregates, ..Env::of(tuple, outer) };
                let partition = self.values(&window.partition_by, &env)?.iter().map(key).collect();
                let keys: Result<Vec<Value>> = window.order_by.iter().map(|(e, ..)| self.value(e, &env)).collect();
                partitions.entry(partition).or_default().push((place, keys?));
            }
            for mut rows in partitions.into_values() {
                rows.sort_by(|a, b| ordered(&window.order_by, &a.1, &b.1));
                let (mut rank, mut dense) = (0i64, 0i64);
                for index in 0..rows.len() {
                    let is_peer =
                        index > 0 && ordered(&window.order_by, &rows[index - 1].1, &rows[index].1) == Ordering::Equal;
                    if !is_peer {
                        rank = index as i64 + 1;
                        dense += 1;
                    }
                    out[rows[index].0][number] = Value::Int(match window.kind {
                        WindowKind::RowNumber => index as i64 + 1,
                        WindowKind::Rank => rank,
                        WindowKind::DenseRank => dense,
                        WindowKind::CountRows => rows.len() as i64,
                    });
                }
            }
        }
        Ok(out)
    }
}

enum Fixed {
    Table(Arc<Table>),
    Tuples(Vec<Tuple>),
}

/// What a join adds to a row: its place among the item's rows, and itself.
enum Extension {
    Row(usize, Arc<Row>),
    Tuple(usize, Tuple),
}

fn width_of(item: &FromItem) -> usize {
    match &item.source {
        Source::Group(items) => items.iter().map(width_of).max().unwrap_or(0),
        _ => item.item + 1,
    }
}

fn sorted(keys: &[SortKey], a: &Row, b: &Row) -> Ordering {
    for key in keys {
        let order = directed(&a[key.column], &b[key.column], key.descending, key.nulls_first);
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn ordered(keys: &[(Expr, bool, bool)], a: &[Value], b: &[Value]) -> Ordering {
    for (place, (_, descending, nulls_first)) in keys.iter().enumerate() {
        let order = directed(&a[place], &b[place], *descending, *nulls_first);
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn directed(a: &Value, b: &Value, descending: bool, nulls_first: bool) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => {
            if nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (false, true) => {
            if nulls_first {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (false, false) if descending => sort_order(b, a),
        (false, false) => sort_order(a, b),
    }
}

fn combine(operation: SetOperation, all: bool, left: Vec<Row>, right: Vec<Row>) -> Vec<Row> {
    let keys = |row: &Row| row.iter().map(key).collect::<Vec<Key>>();
    let mut counts: HashMap<Vec<Key>, usize> = HashMap::new();
    if operation != SetOperation::Union {
        for row in &right {
            *counts.entry(keys(row)).or_default() += 1;
        }
    }
    let mut rows: Vec<Row> = match operation {
        SetOperation::Union => left.into_iter().chain(right).collect(),
        SetOperation::Except | SetOperation::Intersect => {
            let wants = operation == SetOperation::Intersect;
            left.into_iter()
                .filter(|row| match counts.get_mut(&keys(row)) {
                    Some(count) if *count > 0 => {
                        if all {
                            *count -= 1;
                        }
                        wants
                    }
                    _ => !wants,
                })
                .collect()
        }
    };
    if !all {
        let mut seen = HashSet::new();
        rows.retain(|row| seen.insert(keys(row)));
    }
    rows
}
