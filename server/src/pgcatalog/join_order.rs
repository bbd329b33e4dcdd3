//! In which order a catalog query joins its tables, and which condition is checked where.
//!
//! Tables that are joined by plain conditions may change places; an outer join stays between what
//! was written before and after it. A table comes early when an index finds its rows: by a
//! constant best, else by a column of a table that is already there.

use super::plan::{Comparison, Expr, FromItem, Join, Source};
use super::value::is_textual;
use catalog::Result;

/// A set of FROM items.
type Items = u64;

fn items_of(expr: &Expr) -> Items {
    let mut items = 0;
    expr.each_column(&mut |depth, item| {
        if depth == 0 {
            items |= 1 << item;
        }
    });
    items
}

fn own_items(item: &FromItem) -> Items {
    match &item.source {
        Source::Group(group) => group.iter().map(own_items).fold(0, |a, b| a | b),
        _ => 1 << item.item,
    }
}

fn needed_items(item: &FromItem) -> Items {
    let mut items = 0;
    item.each_dependency(&mut |depth, needed| {
        if depth == 0 {
            items |= 1 << needed;
        }
    });
    items
}

/// Orders the items and gives every condition its place. The second answer is what is left for
/// after all of them.
pub(super) fn arrange(items: Vec<FromItem>, filters: Vec<Expr>) -> Result<(Vec<FromItem>, Vec<Expr>)> {
    let last_full = items.iter().rposition(|item| matches!(item.join, Join::Right | Join::Full));
    let mut filters: Vec<(Items, Expr)> = filters.into_iter().map(|f| (items_of(&f), f)).collect();
    let mut placed: Items = 0;
    let mut ordered: Vec<FromItem> = vec![];
    let mut waiting = items.into_iter().enumerate().collect::<std::collections::VecDeque<_>>();
    while let Some((_, next)) = waiting.front() {
        let take = if next.join != Join::Inner {
            0
        } else {
            let run = waiting.iter().take_while(|(_, item)| item.join == Join::Inner).count();
            // A row that a later outer join invents must not be lost to an early condition.
            let may_filter = last_full.is_none_or(|last| waiting[0].0 > last);
            let score = |item: &FromItem| {
                if needed_items(item) & !placed != 0 {
                    return -1;
                }
                if !may_filter {
                    return 0;
                }
                let own = own_items(item);
                let keys = filters.iter().filter_map(|(_, f)| key_of(item, f));
                let best = keys.map(|(_, value)| match items_of(value) {
                    0 => 3,
                    needed if needed & !placed == 0 => 2,
                    _ => 0,
                });
                let by_key = best.max().unwrap_or(0);
                let by_constant = filters.iter().any(|(needed, _)| *needed == own);
                by_key.max(i32::from(by_constant))
            };
            let mut best = 0;
            for candidate in 1..run {
                if score(&waiting[candidate].1) > score(&waiting[best].1) {
                    best = candidate;
                }
            }
            best
        };
        let Some((place, mut item)) = waiting.remove(take) else { break };
        let own = own_items(&item);
        let before = placed;
        placed |= own;
        if last_full.is_none_or(|last| place >= last) {
            let (now, later): (Vec<_>, Vec<_>) = filters.into_iter().partition(|(needed, _)| needed & !placed == 0);
            filters = later;
            let now = now.into_iter().map(|(_, f)| f);
            match item.join {
                Join::Inner => item.on.extend(now),
                _ => item.filters.extend(now),
            }
        }
        if matches!(item.join, Join::Inner | Join::Left) {
            let mut key: Vec<(usize, Expr)> = vec![];
            for condition in &item.on {
                if let Some((column, value)) = key_of(&item, condition)
                    && items_of(value) & !before == 0
                    && key.iter().all(|(c, _)| *c != column)
                {
                    key.push((column, value.clone()));
                }
            }
            item.key = key;
        }
        ordered.push(item);
    }
    Ok((ordered, filters.into_iter().map(|(_, f)| f).collect()))
}

/// `column = value`, when an index over the item can answer it.
fn key_of<'a>(item: &FromItem, condition: &'a Expr) -> Option<(usize, &'a Expr)> {
    let is_indexed = match &item.source {
        Source::Relation(_) | Source::Cte(_) => true,
        Source::Query { plan, is_lateral } => !is_lateral && !plan.is_correlated,
        _ => false,
    };
    let Expr::Compare(Comparison::Eq, a, b) = condition else { return None };
    if !is_indexed {
        return None;
    }
    let own = own_items(item);
    let column = |expr: &Expr| match expr {
        Expr::Column { depth: 0, item: i, column } if *i == item.item => Some(*column),
        // A column that is only shown as text has the same hash as the text.
        Expr::Cast { expr, from, to, .. } if is_textual(*from) && is_textual(*to) => match expr.as_ref() {
            Expr::Column { depth: 0, item: i, column } if *i == item.item => Some(*column),
            _ => None,
        },
        _ => None,
    };
    match (column(a), column(b)) {
        (Some(column), _) if items_of(b) & own == 0 => Some((column, b)),
        (_, Some(column)) if items_of(a) & own == 0 => Some((column, a)),
        _ => None,
    }
}
