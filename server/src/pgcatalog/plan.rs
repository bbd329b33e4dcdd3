//! A bound catalog query: names are resolved to places, and every expression has a type.

use super::function::Function;
use super::layout::Layout;
use super::set_function::SetFunction;
use super::value::Value;
use std::sync::Arc;

/// An expression.
#[derive(Clone)]
pub(crate) enum Expr {
    Const(Value),
    /// `$n`, from 0.
    Parameter(usize),
    /// A column of a row `depth` queries further out.
    Column {
        depth: usize,
        item: usize,
        column: usize,
    },
    /// All columns of a FROM item.
    WholeRow {
        depth: usize,
        item: usize,
    },
    /// The value of an aggregate, window or set-returning function at the current row.
    Slot(Slot, usize),
    Call(&'static Function, Vec<Expr>, Vec<u32>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    IsDistinct {
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    Negate(Box<Expr>),
    /// Text or arrays, with the types of both sides.
    Concat(Box<Expr>, u32, Box<Expr>, u32),
    Like {
        expr: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<char>,
        ignore_case: bool,
        negated: bool,
    },
    Regex {
        expr: Box<Expr>,
        pattern: Box<Expr>,
        ignore_case: bool,
        negated: bool,
    },
    IsNull {
        expr: Box<Expr>,
        negated: bool,
    },
    /// IS [NOT] TRUE and IS [NOT] FALSE.
    IsBool {
        expr: Box<Expr>,
        value: bool,
        negated: bool,
    },
    InList {
        expr: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    /// `left op ANY|ALL (list)`
    Quantified {
        op: Comparison,
        left: Box<Expr>,
        right: Box<Expr>,
        all: bool,
    },
    /// `left op ANY|ALL (query)`
    QuantifiedQuery {
        op: Comparison,
        left: Box<Expr>,
        query: Arc<Plan>,
        all: bool,
    },
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Box<Expr>,
    },
    Coalesce(Vec<Expr>),
    NullIf(Box<Expr>, Box<Expr>),
    Cast {
        expr: Box<Expr>,
        from: u32,
        to: u32,
        modifier: i32,
    },
    Scalar(Arc<Plan>),
    Exists(Arc<Plan>),
    /// ARRAY(query)
    ArrayOf(Arc<Plan>),
    /// `list[index]`; the first index is `first`.
    Index {
        list: Box<Expr>,
        index: Box<Expr>,
        first: i64,
    },
    /// `list[from:to]`
    Slice {
        list: Box<Expr>,
        from: Option<Box<Expr>>,
        to: Option<Box<Expr>>,
        first: i64,
    },
    Field(Box<Expr>, usize),
    Array(Vec<Expr>),
    Record(Vec<Expr>),
}

/// Which kind of value a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Aggregate,
    Window,
    Set,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    NotEq,
    Less,
    LessEq,
    Greater,
    GreaterEq,
    /// `~`, `~*` and their negations, for ANY and ALL.
    Match {
        ignore_case: bool,
        negated: bool,
    },
    /// LIKE and ILIKE.
    Like {
        ignore_case: bool,
        negated: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
    BitAnd,
    BitOr,
}

/// The fields of a composite column.
pub(crate) type Fields = Option<Arc<Vec<(String, u32)>>>;

/// One column of a result.
#[derive(Clone)]
pub(crate) struct PlanColumn {
    pub name: String,
    pub type_oid: u32,
    pub fields: Fields,
}

/// A whole query.
pub(crate) struct Plan {
    /// Unique within the statement.
    pub id: usize,
    pub ctes: Vec<Cte>,
    pub body: Body,
    /// Places in the body's rows, hidden columns included.
    pub order_by: Vec<SortKey>,
    pub limit: Option<Expr>,
    pub offset: Option<Expr>,
    pub columns: Vec<PlanColumn>,
    /// Whether it looks at rows of an outer query.
    pub is_correlated: bool,
}

pub(crate) struct Cte {
    pub id: usize,
    pub plan: Arc<Plan>,
    pub is_recursive: bool,
}

pub(crate) struct SortKey {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

pub(crate) enum Body {
    Select(Box<Select>),
    Values(Vec<Vec<Expr>>),
    Set { operation: SetOperation, all: bool, left: Arc<Plan>, right: Arc<Plan> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetOperation {
    Union,
    Except,
    Intersect,
}

pub(crate) struct Select {
    /// In the order in which they are joined.
    pub from: Vec<FromItem>,
    /// How many items rows have, those inside of groups included.
    pub item_count: usize,
    /// Conditions that no item has taken.
    pub filters: Vec<Expr>,
    /// None: no grouping. Empty: one group of all rows.
    pub group_by: Option<Vec<Expr>>,
    pub aggregates: Vec<Aggregate>,
    pub having: Option<Expr>,
    pub windows: Vec<Window>,
    pub sets: Vec<(&'static SetFunction, Vec<Expr>, Vec<u32>)>,
    /// What comes out, hidden sort columns last.
    pub projection: Vec<Expr>,
    pub visible: usize,
    pub distinct: Distinct,
}

pub(crate) enum Distinct {
    No,
    All,
    /// Places in the projection.
    On(Vec<usize>),
}

pub(crate) struct FromItem {
    /// The place of its row, or of its first row.
    pub item: usize,
    pub source: Source,
    pub join: Join,
    /// Conditions of the join; for an inner one also those of WHERE that belong here.
    pub on: Vec<Expr>,
    /// Columns with the expressions that they must be equal to: found by an index.
    pub key: Vec<(usize, Expr)>,
    /// Conditions of WHERE that are checked after the join.
    pub filters: Vec<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    Inner,
    Left,
    Right,
    Full,
}

pub(crate) enum Source {
    Relation(&'static Layout),
    Cte(usize),
    /// A lateral one sees the rows to its left.
    Query {
        plan: Arc<Plan>,
        is_lateral: bool,
    },
    /// A set-returning function over the rows to its left.
    Function {
        function: &'static SetFunction,
        arguments: Vec<Expr>,
        types: Vec<u32>,
        with_ordinality: bool,
    },
    /// One row of one value.
    Value(Expr),
    /// A join in parentheses.
    Group(Vec<FromItem>),
}

pub(crate) struct Aggregate {
    pub kind: AggregateKind,
    pub arguments: Vec<Expr>,
    /// The type of the first argument.
    pub type_oid: u32,
    pub distinct: bool,
    pub filter: Option<Expr>,
    /// Expression, descending, nulls first.
    pub order_by: Vec<(Expr, bool, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AggregateKind {
    CountRows,
    Count,
    Sum,
    Min,
    Max,
    Avg,
    BoolAnd,
    BoolOr,
    ArrayAgg,
    StringAgg,
    JsonAgg,
}

pub(crate) struct Window {
    pub kind: WindowKind,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<(Expr, bool, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowKind {
    RowNumber,
    Rank,
    DenseRank,
    CountRows,
}

impl Expr {
    /// Calls `f` with every column that the expression looks at, as (depth, item), with the depth
    /// counted from where the expression stands.
    pub(crate) fn each_column(&self, f: &mut dyn FnMut(usize, usize)) {
        self.walk(0, f);
    }

    fn walk(&self, inside: usize, f: &mut dyn FnMut(usize, usize)) {
        let mut all = |list: &[Expr]| list.iter().for_each(|e| e.walk(inside, f));
        match self {
            Self::Const(_) | Self::Parameter(_) | Self::Slot(..) => {}
            Self::Column { depth, item, .. } | Self::WholeRow { depth, item } => {
                if *depth >= inside {
                    f(depth - inside, *item);
                }
            }
            Self::Call(_, list, _)
            | Self::And(list)
            | Self::Or(list)
            | Self::Coalesce(list)
            | Self::Array(list)
            | Self::Record(list) => all(list),
            Self::Not(a)
            | Self::Negate(a)
            | Self::IsNull { expr: a, .. }
            | Self::IsBool { expr: a, .. }
            | Self::Cast { expr: a, .. }
            | Self::Field(a, _) => a.walk(inside, f),
            Self::Compare(_, a, b)
            | Self::IsDistinct { left: a, right: b, .. }
            | Self::Arithmetic(_, a, b)
            | Self::Concat(a, _, b, _)
            | Self::Like { expr: a, pattern: b, .. }
            | Self::Regex { expr: a, pattern: b, .. }
            | Self::Quantified { left: a, right: b, .. }
            | Self::NullIf(a, b)
            | Self::Index { list: a, index: b, .. } => {
                a.walk(inside, f);
                b.walk(inside, f);
            }
            Self::Slice { list, from, to, .. } => {
                list.walk(inside, f);
                from.iter().chain(to).for_each(|e| e.walk(inside, f));
            }
            Self::InList { expr, list, .. } => {
                all(list);
                expr.walk(inside, f);
            }
            Self::Case { operand, branches, otherwise } => {
                operand.iter().for_each(|e| e.walk(inside, f));
                for (condition, result) in branches {
                    condition.walk(inside, f);
                    result.walk(inside, f);
                }
                otherwise.walk(inside, f);
            }
            Self::QuantifiedQuery { left, query, .. } => {
                left.walk(inside, f);
                query.walk(inside + 1, f);
            }
            Self::Scalar(query) | Self::Exists(query) | Self::ArrayOf(query) => query.walk(inside + 1, f),
        }
    }
}

impl Plan {
    fn walk(&self, inside: usize, f: &mut dyn FnMut(usize, usize)) {
        if !self.is_correlated {
            return;
        }
        for cte in &self.ctes {
            cte.plan.walk(inside, f);
        }
        self.limit.iter().chain(&self.offset).for_each(|e| e.walk(inside, f));
        match &self.body {
            Body::Values(rows) => rows.iter().flatten().for_each(|e| e.walk(inside, f)),
            Body::Set { left, right, .. } => {
                left.walk(inside, f);
                right.walk(inside, f);
            }
            Body::Select(select) => {
                select.from.iter().for_each(|item| item.walk(inside, f));
                let aggregates = select
                    .aggregates
                    .iter()
                    .flat_map(|a| a.arguments.iter().chain(&a.filter).chain(a.order_by.iter().map(|(e, ..)| e)));
                let windows =
                    select.windows.iter().flat_map(|w| w.partition_by.iter().chain(w.order_by.iter().map(|(e, ..)| e)));
                select
                    .filters
                    .iter()
                    .chain(select.group_by.iter().flatten())
                    .chain(&select.having)
                    .chain(&select.projection)
                    .chain(select.sets.iter().flat_map(|(_, list, _)| list))
                    .chain(aggregates)
                    .chain(windows)
                    .for_each(|e| e.walk(inside, f));
            }
        }
    }
}

impl FromItem {
    /// Calls `f` with every row that the item needs before it, as [`Expr::each_column`].
    pub(crate) fn each_dependency(&self, f: &mut dyn FnMut(usize, usize)) {
        match &self.source {
            Source::Query { plan, is_lateral: true } => plan.walk(1, f),
            Source::Function { arguments, .. } => arguments.iter().for_each(|e| e.walk(0, f)),
            Source::Value(expr) => expr.walk(0, f),
            _ => {}
        }
    }

    fn walk(&self, inside: usize, f: &mut dyn FnMut(usize, usize)) {
        self.on.iter().chain(&self.filters).chain(self.key.iter().map(|(_, e)| e)).for_each(|e| e.walk(inside, f));
        match &self.source {
            Source::Query { plan, is_lateral } => plan.walk(inside + usize::from(*is_lateral), f),
            Source::Function { arguments, .. } => arguments.iter().for_each(|e| e.walk(inside, f)),
            Source::Value(expr) => expr.walk(inside, f),
            Source::Group(items) => items.iter().for_each(|item| item.walk(inside, f)),
            Source::Relation(_) | Source::Cte(_) => {}
        }
    }
}
