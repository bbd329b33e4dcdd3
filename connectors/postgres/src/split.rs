//! Cuts a table into splits: ranges of heap pages, whole relations, and packs of small partitions.
//! Pure; the snapshot fetches the facts.

use catalog::{Error, Result, TableName};
use connector_api::{Split, SplitGoal};
use serde::{Deserialize, Serialize};

/// Bytes on disk that are worth a split of their own even when they are few rows (TOAST).
const SPLIT_BYTES: u64 = 64 << 20;
/// Assumed size of a row of a relation that was never analyzed.
const ROW_BYTES: u64 = 100;

/// One relation that holds rows: the table itself, a leaf of its partition tree, or a child.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    /// Its name.
    pub(crate) name: TableName,
    /// Pages of its heap; None when it cannot be cut by ctid.
    pub(crate) pages: Option<u64>,
    /// Bytes on disk, TOAST included.
    pub(crate) bytes: u64,
    /// Estimated rows.
    pub(crate) rows: Option<u64>,
    /// Whether children are to be left out (`FROM ONLY`).
    pub(crate) is_only: bool,
}

/// One range of one relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The relation.
    pub(crate) name: TableName,
    /// Whether children are left out.
    pub(crate) is_only: bool,
    /// First page; None: from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<u64>,
    /// The page after the last; None: to the end, however far it has grown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<u64>,
}

impl Part {
    /// The condition on ctid; None for a whole relation.
    pub(crate) fn condition(&self) -> Option<String> {
        let from = self.from.map(|page| format!("ctid >= '({page},0)'::tid"));
        let to = self.to.map(|page| format!("ctid < '({page},0)'::tid"));
        match (from, to) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(one),
            (Some(from), Some(to)) => Some(format!("{from} and {to}")),
        }
    }
}

/// The parts of a split.
pub(crate) fn parts(split: &Split) -> Result<Vec<Part>> {
    serde_json::from_slice(&split.payload).map_err(|error| {
        Error::internal(format!("split {} does not belong to this connector", split.index)).with_source(error)
    })
}

/// Cuts leaves into at most `goal.splits_max` splits, the heaviest first. Together they cover every
/// page of every leaf once; the first range of a leaf is open below and the last open above.
pub(crate) fn cut(table: &TableName, leaves: &[Leaf], goal: SplitGoal) -> Result<Vec<Split>> {
    let splits_max = goal.splits_max.max(1) as u64;
    let bytes: u64 = leaves.iter().map(weight).sum();
    let rows: u64 = leaves.iter().map(|leaf| leaf.rows.unwrap_or(leaf.bytes / ROW_BYTES)).sum();
    let wanted = (rows / goal.rows_min.max(1)).max(bytes / SPLIT_BYTES).clamp(1, splits_max);
    let share = bytes.div_ceil(wanted).max(1);

    // Large leaves are cut; what is smaller than a share is packed with its like.
    let mut packs: Vec<(u64, Vec<Part>)> = vec![];
    let mut small: Vec<&Leaf> = vec![];
    for leaf in leaves {
        let pages = leaf.pages.unwrap_or(0);
        // Rounded to the nearest, so that a table alone gets all the splits that are wanted.
        let count = (u128::from(weight(leaf)) * u128::from(wanted) + u128::from(bytes / 2)) / u128::from(bytes.max(1));
        let count = u64::try_from(count).unwrap_or(splits_max).min(pages).min(splits_max);
        if count <= 1 {
            if weight(leaf) >= share {
                packs.push((weight(leaf), vec![whole(leaf)]));
            } else {
                small.push(leaf);
            }
            continue;
        }
        for index in 0..count {
            let bound = |i: u64| ((u128::from(pages) * u128::from(i)) / u128::from(count)) as u64;
            packs.push((
                weight(leaf) / count,
                vec![Part {
                    from: (index > 0).then(|| bound(index)),
                    to: (index + 1 < count).then(|| bound(index + 1)),
                    ..whole(leaf)
                }],
            ));
        }
    }
    let mut open: Option<(u64, Vec<Part>)> = None;
    for leaf in small {
        let (held, parts) = open.get_or_insert((0, vec![]));
        *held += weight(leaf);
        parts.push(whole(leaf));
        if *held >= share {
            packs.extend(open.take());
        }
    }
    packs.extend(open);
    // Rounding may have made a few too many; the two lightest go together until they fit.
    packs.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    while packs.len() as u64 > splits_max {
        let Some((lightest, mut parts)) = packs.pop() else { break };
        if let Some((weight, into)) = packs.last_mut() {
            *weight += lightest;
            into.append(&mut parts);
        }
        packs.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    }
    if packs.is_empty() {
        packs.push((0, vec![]));
    }
    packs.into_iter().enumerate().map(|(index, (_, parts))| split(table, index, parts)).collect()
}

fn weight(leaf: &Leaf) -> u64 {
    // An empty leaf still costs a statement.
    leaf.bytes.max(1)
}

fn whole(leaf: &Leaf) -> Part {
    Part { name: leaf.name.clone(), is_only: leaf.is_only, from: None, to: None }
}

fn split(table: &TableName, index: usize, parts: Vec<Part>) -> Result<Split> {
    let mut words: Vec<String> = parts
        .iter()
        .take(3)
        .map(|part| match (part.condition(), part.name == *table) {
            (None, true) => "all".to_owned(),
            (None, false) => part.name.to_string(),
            (Some(condition), true) => condition,
            (Some(condition), false) => format!("{}: {condition}", part.name),
        })
        .collect();
    if parts.len() > 3 {
        words.push(format!("{} more", parts.len() - 3));
    }
    if words.is_empty() {
        words.push("nothing".to_owned());
    }
    let payload = serde_json::to_vec(&parts)
        .map_err(|error| Error::internal("a split could not be written").with_source(error))?;
    Ok(Split { index, description: words.join(", "), payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(name: &str, pages: Option<u64>, bytes: u64, rows: Option<u64>) -> Leaf {
        Leaf { name: TableName::new("s", name), pages, bytes, rows, is_only: true }
    }

    fn table() -> TableName {
        TableName::new("s", "t")
    }

    /// Every page of every leaf is in exactly one part, and both ends are open.
    fn assert_covers(leaves: &[Leaf], splits: &[Split]) {
        let parts: Vec<Part> = splits.iter().flat_map(|split| parts(split).unwrap()).collect();
        for leaf in leaves {
            let mut mine: Vec<&Part> = parts.iter().filter(|p| p.name == leaf.name).collect();
            mine.sort_by_key(|p| p.from.unwrap_or(0));
            assert_eq!(mine.first().unwrap().from, None);
            assert_eq!(mine.last().unwrap().to, None);
            for pair in mine.windows(2) {
                assert!(pair[0].to.is_some() && pair[0].to == pair[1].from);
                assert!(pair[0].from.unwrap_or(0) < pair[0].to.unwrap());
            }
        }
        for (index, split) in splits.iter().enumerate() {
            assert_eq!(split.index, index);
        }
    }

    #[test]
    fn every_page_is_read_once_whatever_the_sizes() {
        let mut state = 88_172_645_463_325_252u64;
        let mut random = |limit: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % limit
        };
        for _ in 0..2_000 {
            let leaves: Vec<Leaf> = (0..random(30) + 1)
                .map(|i| {
                    let scale = [1, 100, 100_000, 10_000_000][random(4) as usize];
                    let pages = random(scale);
                    let bytes = pages * 8192 + if random(5) == 0 { random(1 << 33) } else { 0 };
                    let rows = (random(3) > 0).then(|| random(scale * 100));
                    leaf(&format!("t{i}"), (random(6) > 0).then_some(pages), bytes, rows)
                })
                .collect();
            let goal = SplitGoal { splits_max: random(64) as usize, rows_min: random(100_000) };
            let splits = cut(&table(), &leaves, goal).unwrap();
            assert!(splits.len() <= goal.splits_max.max(1), "{} > {}", splits.len(), goal.splits_max);
            assert_covers(&leaves, &splits);
        }
    }

    #[test]
    fn a_large_table_is_cut_and_a_small_one_is_not() {
        let goal = SplitGoal { splits_max: 4, rows_min: 50_000 };
        let large = [leaf("t", Some(1_000), 1_000 * 8192, Some(1_000_000))];
        let splits = cut(&table(), &large, goal).unwrap();
        assert_eq!(splits.len(), 4);
        assert_eq!(splits[1].description, "ctid >= '(250,0)'::tid and ctid < '(500,0)'::tid");
        let uneven = [leaf("t", Some(222), 222 * 8192 + 24_577, Some(50_000))];
        assert_eq!(cut(&table(), &uneven, SplitGoal { splits_max: 10, rows_min: 10 }).unwrap().len(), 10);
        let small = [leaf("t", Some(10), 10 * 8192, Some(1_000))];
        assert_eq!(cut(&table(), &small, goal).unwrap().len(), 1);
        assert_eq!(cut(&table(), &[leaf("t", Some(0), 0, None)], goal).unwrap()[0].description, "all");
        assert_eq!(cut(&table(), &[], goal).unwrap().len(), 1);
    }

    #[test]
    fn toast_weighs_and_small_partitions_travel_together() {
        let goal = SplitGoal { splits_max: 8, rows_min: 50_000 };
        // 10,000 rows in 100 pages, and 1 GiB of TOAST
        assert_eq!(cut(&table(), &[leaf("t", Some(100), 1 << 30, Some(10_000))], goal).unwrap().len(), 8);
        let leaves: Vec<Leaf> = (0..100).map(|i| leaf(&format!("p{i}"), Some(10), 10 * 8192, Some(1_000))).collect();
        let splits = cut(&table(), &leaves, goal).unwrap();
        assert_eq!(splits.len(), 2);
        assert_covers(&leaves, &splits);
        // A relation without ctid ranges stays whole.
        let view = leaf("v", None, 1 << 40, None);
        assert_eq!(cut(&table(), &[view], goal).unwrap().len(), 1);
    }
}
