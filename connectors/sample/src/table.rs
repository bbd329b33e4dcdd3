//! The eight tables: names, columns, keys, row counts, and the generator of one part of each.

use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use catalog::TableName;
use connector_api::{ColumnSchema, TYPE_KEY, TableKind, TableSchema};
use std::collections::HashMap;
use std::sync::OnceLock;
use tpchgen::distribution::Distributions;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen::text::TextPool;
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

/// The one schema of the source.
pub const SCHEMA: &str = "tpch";

/// Rows of one generated batch.
pub const BATCH_ROWS: usize = 8192;

/// Orders up to which line items are counted exactly; the count costs some milliseconds there.
const COUNTED_ORDERS_MAX: i64 = 300_000;

/// Which text comments are cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextPoolSize {
    /// 8 MiB: made in some tens of milliseconds. Comments differ from those of dbgen, no other column does.
    Small,
    /// 300 MiB, as dbgen has it; it takes seconds to make and stays in memory.
    Full,
}

impl TextPoolSize {
    /// The pool, made at the first use and shared by all reads of the process.
    fn pool(self) -> &'static TextPool {
        static SMALL: OnceLock<TextPool> = OnceLock::new();
        match self {
            Self::Small => SMALL.get_or_init(|| TextPool::new(8 << 20, Distributions::static_default())),
            Self::Full => TextPool::get_or_init_default(),
        }
    }
}

/// What the options say about the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// TPC-H scale factor.
    pub factor: f64,
    /// Comment text.
    pub pool: TextPoolSize,
}

impl Scale {
    /// The id of the snapshot: equal ids mean equal data.
    pub fn snapshot_id(&self) -> String {
        match self.pool {
            TextPoolSize::Small => format!("tpch-sf{}", self.factor),
            TextPoolSize::Full => format!("tpch-sf{}-full", self.factor),
        }
    }
}

/// One of the eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    Region,
    Nation,
    Supplier,
    Customer,
    Part,
    PartSupp,
    Orders,
    LineItem,
}

/// What generates one part of a table, batch after batch.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

impl Table {
    /// All tables, referenced ones first.
    pub const ALL: [Self; 8] = [
        Self::Region,
        Self::Nation,
        Self::Supplier,
        Self::Customer,
        Self::Part,
        Self::PartSupp,
        Self::Orders,
        Self::LineItem,
    ];

    /// The table's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Nation => "nation",
            Self::Supplier => "supplier",
            Self::Customer => "customer",
            Self::Part => "part",
            Self::PartSupp => "partsupp",
            Self::Orders => "orders",
            Self::LineItem => "lineitem",
        }
    }

    /// The table of that exact name.
    pub fn find(name: &TableName) -> Option<Self> {
        if name.schema != SCHEMA {
            return None;
        }
        Self::ALL.into_iter().find(|table| table.name() == name.table)
    }

    fn comment(&self) -> &'static str {
        match self {
            Self::Region => "The five regions of the world.",
            Self::Nation => "Nations, each in a region.",
            Self::Supplier => "Who supplies parts.",
            Self::Customer => "Who orders.",
            Self::Part => "What can be ordered.",
            Self::PartSupp => "Which supplier offers which part, and at what cost.",
            Self::Orders => "Orders of customers.",
            Self::LineItem => "Lines of orders.",
        }
    }

    fn primary_key(&self, scale: Scale) -> Vec<String> {
        let key: &[&str] = match self {
            Self::Region => &["r_regionkey"],
            Self::Nation => &["n_nationkey"],
            Self::Supplier => &["s_suppkey"],
            Self::Customer => &["c_custkey"],
            Self::Part => &["p_partkey"],
            Self::PartSupp if !has_unique_part_suppliers(scale.factor) => &[],
            Self::PartSupp => &["ps_partkey", "ps_suppkey"],
            Self::Orders => &["o_orderkey"],
            Self::LineItem => &["l_orderkey", "l_linenumber"],
        };
        key.iter().map(|&column| column.to_owned()).collect()
    }

    fn column_comment(column: &str) -> Option<&'static str> {
        Some(match column {
            "n_regionkey" => "Region of the nation: region.r_regionkey.",
            "s_nationkey" | "c_nationkey" => "Nation: nation.n_nationkey.",
            "ps_partkey" | "l_partkey" => "Part: part.p_partkey.",
            "ps_suppkey" | "l_suppkey" => "Supplier: supplier.s_suppkey.",
            "o_custkey" => "Customer: customer.c_custkey.",
            "l_orderkey" => "Order: orders.o_orderkey.",
            "l_linenumber" => "Number of the line within its order, from 1.",
            "l_extendedprice" => "Price of the line before discount and tax.",
            "l_discount" => "Discount as a fraction of the price.",
            "l_tax" => "Tax as a fraction of the discounted price.",
            "o_orderstatus" => "F: all lines shipped, O: none, P: some.",
            _ => return None,
        })
    }

    fn generated_schema(&self) -> SchemaRef {
        match self {
            Self::Region => RegionArrow::schema_ref(),
            Self::Nation => NationArrow::schema_ref(),
            Self::Supplier => SupplierArrow::schema_ref(),
            Self::Customer => CustomerArrow::schema_ref(),
            Self::Part => PartArrow::schema_ref(),
            Self::PartSupp => PartSuppArrow::schema_ref(),
            Self::Orders => OrderArrow::schema_ref(),
            Self::LineItem => LineItemArrow::schema_ref(),
        }
    }

    /// The structure. Strings are plain Utf8; nothing is ever NULL.
    pub fn schema(&self, scale: Scale) -> TableSchema {
        let generated = self.generated_schema();
        let columns = generated.fields().iter().map(|field| {
            let data_type = plain_type(field.data_type());
            let word = type_word(&data_type);
            let metadata = HashMap::from([(TYPE_KEY.to_owned(), word.clone())]);
            ColumnSchema {
                name: field.name().clone(),
                data_type: word,
                field: Field::new(field.name(), data_type, false).with_metadata(metadata),
                is_nullable: false,
                is_generated: false,
                default_expr: None,
                comment: Self::column_comment(field.name()).map(str::to_owned),
            }
        });
        TableSchema {
            name: TableName::new(SCHEMA, self.name()),
            kind: TableKind::Generated,
            columns: columns.collect(),
            primary_key: self.primary_key(scale),
            unique_keys: vec![],
            rows_estimate: Some(self.rows(scale).0),
            bytes_estimate: None,
            comment: Some(self.comment().to_owned()),
        }
    }

    /// How many rows there are, and whether that is exact. Only line items of large scales are
    /// estimated (4 an order).
    pub fn rows(&self, scale: Scale) -> (u64, bool) {
        let factor = scale.factor;
        let (rows, is_exact) = match self {
            Self::Region => (5, true),
            Self::Nation => (25, true),
            Self::Supplier => (SupplierGenerator::calculate_row_count(factor, 1, 1), true),
            Self::Customer => (CustomerGenerator::calculate_row_count(factor, 1, 1), true),
            Self::Part => (PartGenerator::calculate_row_count(factor, 1, 1), true),
            Self::PartSupp => (4 * PartGenerator::calculate_row_count(factor, 1, 1), true),
            Self::Orders => (OrderGenerator::calculate_row_count(factor, 1, 1), true),
            Self::LineItem => {
                let orders = OrderGenerator::calculate_row_count(factor, 1, 1);
                if orders > COUNTED_ORDERS_MAX {
                    (orders.saturating_mul(4), false)
                } else {
                    let mut line_counts = OrderGenerator::create_line_count_random();
                    let mut lines = 0_i64;
                    for _ in 0..orders {
                        lines += i64::from(line_counts.next_value());
                        line_counts.row_finished();
                    }
                    (lines, true)
                }
            }
        };
        (u64::try_from(rows).unwrap_or(0), is_exact)
    }

    /// Into how many parts the table can be cut without an empty one: parts are ranges of what the
    /// generator counts by (orders for line items, parts for part suppliers).
    pub fn parts_max(&self, scale: Scale) -> u64 {
        let units = match self {
            // These two ignore parts: each part would be the whole table.
            Self::Region | Self::Nation => 1,
            Self::Supplier | Self::Customer | Self::Part | Self::Orders => self.rows(scale).0,
            Self::PartSupp => Self::Part.rows(scale).0,
            Self::LineItem => Self::Orders.rows(scale).0,
        };
        units.clamp(1, 4096)
    }

    /// Generates part `part` (from 1) of `part_count`. Making the first one makes the text pool.
    pub fn batches(&self, scale: Scale, part: i32, part_count: i32) -> Batches {
        let words = Distributions::static_default();
        let pool = scale.pool.pool();
        let factor = scale.factor;
        macro_rules! generate {
            ($arrow:ident, $generator:ident) => {
                Box::new(
                    $arrow::new($generator::new_with_distributions_and_text_pool(
                        factor, part, part_count, words, pool,
                    ))
                    .with_batch_size(BATCH_ROWS),
                )
            };
        }
        match self {
            Self::Region => Box::new(
                RegionArrow::new(RegionGenerator::new_with_distributions_and_text_pool(words, pool))
                    .with_batch_size(BATCH_ROWS),
            ),
            Self::Nation => Box::new(
                NationArrow::new(NationGenerator::new_with_distributions_and_text_pool(words, pool))
                    .with_batch_size(BATCH_ROWS),
            ),
            Self::Supplier => generate!(SupplierArrow, SupplierGenerator),
            Self::Customer => generate!(CustomerArrow, CustomerGenerator),
            Self::Part => generate!(PartArrow, PartGenerator),
            Self::PartSupp => Box::new(
                PartSuppArrow::new(PartSuppGenerator::new_with_text_pool(factor, part, part_count, pool))
                    .with_batch_size(BATCH_ROWS),
            ),
            Self::Orders => generate!(OrderArrow, OrderGenerator),
            Self::LineItem => generate!(LineItemArrow, LineItemGenerator),
        }
    }
}

/// Whether every part has four different suppliers. The generator picks supplier number i (0 to 3)
/// of a part by adding i strides, modulo the number of suppliers; at small and at some odd scales
/// two of them meet, and then (ps_partkey, ps_suppkey) is no key.
fn has_unique_part_suppliers(factor: f64) -> bool {
    let suppliers = SupplierGenerator::calculate_row_count(factor, 1, 1);
    let parts = PartGenerator::calculate_row_count(factor, 1, 1);
    if suppliers < 4 {
        return false;
    }
    // The stride grows by one with every `suppliers` parts.
    let growth_max = (parts - 1).max(0) / suppliers;
    (0..=growth_max).all(|growth| (1..=3).all(|i| (i * (suppliers / 4 + growth)) % suppliers != 0))
}

/// The type without string views.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        other => other.clone(),
    }
}

/// The type in PostgreSQL's words.
fn type_word(data_type: &DataType) -> String {
    match data_type {
        DataType::Int64 => "bigint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Decimal128(precision, scale) => format!("numeric({precision},{scale})"),
        _ => "text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn scale(factor: f64) -> Scale {
        Scale { factor, pool: TextPoolSize::Small }
    }

    fn generated_rows(table: Table, scale: Scale, parts: i32) -> u64 {
        (1..=parts)
            .map(|part| table.batches(scale, part, parts).map(|batch| batch.unwrap().num_rows() as u64).sum::<u64>())
            .sum()
    }

    #[test]
    fn row_counts_are_those_that_are_generated() {
        for factor in [0.0001, 0.001, 0.01] {
            for table in Table::ALL {
                let (rows, is_exact) = table.rows(scale(factor));
                assert!(is_exact);
                assert_eq!(rows, generated_rows(table, scale(factor), 1), "{} at {factor}", table.name());
            }
        }
        assert_eq!(Table::LineItem.rows(scale(0.01)), (60_175, true));
        assert_eq!(Table::Orders.rows(scale(1000.0)), (1_500_000_000, true));
    }

    #[test]
    fn the_part_supplier_key_is_declared_exactly_where_it_holds() {
        let mut seen = HashSet::new();
        for factor in [0.0001, 0.0004, 0.0005, 0.001, 0.0012, 0.002, 0.0033, 0.005, 0.01, 0.012, 0.0123] {
            let mut is_unique = true;
            let mut keys = HashSet::new();
            for batch in Table::PartSupp.batches(scale(factor), 1, 1) {
                let batch = batch.unwrap();
                let column = |i: usize| {
                    batch.column(i).as_any().downcast_ref::<arrow::array::Int64Array>().unwrap().values().to_vec()
                };
                for pair in column(0).into_iter().zip(column(1)) {
                    is_unique &= keys.insert(pair);
                }
            }
            assert_eq!(!Table::PartSupp.primary_key(scale(factor)).is_empty(), is_unique, "at {factor}");
            seen.insert(is_unique);
        }
        assert_eq!(seen.len(), 2, "both outcomes are tried");
    }
}
