//! Forms that PostgreSQL reads and DataFusion does not, as forms that mean the same.

use super::function::Input;
use super::names::{folded, last_part};
use super::time::with_seconds;
use crate::pg_types::oid;
use crate::pgcatalog::value::{element_of, from_text, written_type};
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::*;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Rewrites a query in place so that DataFusion reads it as PostgreSQL would: types of literals and
/// casts, functions under PostgreSQL's names, times in zones. Names of outputs must have been given
/// before, see `query::names`: what is rewritten would be named differently.
pub fn rewrite(query: &mut Query) {
    let mut visitor = Rewriter;
    let _ = VisitMut::visit(query, &mut visitor);
}

/// `TABLE name` everywhere as `SELECT * FROM name`.
pub(crate) fn expand_tables(query: &mut Query) {
    struct Tables;
    impl VisitorMut for Tables {
        type Break = ();
        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            table(&mut query.body);
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(query, &mut Tables);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        body(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        name_function_column(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(replaced) = replaced(expr) {
            *expr = replaced;
        }
        ControlFlow::Continue(())
    }
}

/// The other form of an expression whose parts have been rewritten already; some are changed in place.
fn replaced(expr: &mut Expr) -> Option<Expr> {
    match expr {
        Expr::Cast { expr: inner, data_type, array: false, format: None, .. } => cast(inner, data_type),
        Expr::TypedString(typed) => {
            if let Value::SingleQuotedString(text) = &mut typed.value.value
                && let Some(full) = with_seconds(text)
            {
                *text = full;
            }
            None
        }
        Expr::BinaryOp { op, .. } => {
            if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                && let Some(plain) = parts.last().and_then(|name| operator(name))
            {
                *op = plain;
            }
            None
        }
        // Text is compared by its bytes here, which is what these collations say.
        Expr::Collate { expr: inner, collation }
            if matches!(last_part(collation).to_lowercase().as_str(), "default" | "c" | "posix" | "ucs_basic") =>
        {
            Some(std::mem::replace(inner, Expr::Value(Value::Null.into())))
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            escape(pattern, escape_char);
            None
        }
        Expr::Value(value) => {
            if let Value::UnicodeStringLiteral(text) | Value::NationalStringLiteral(text) = &value.value {
                value.value = Value::SingleQuotedString(text.clone());
            }
            None
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            let nothing = || Expr::Value(Value::Null.into());
            let zone = std::mem::replace(time_zone.as_mut(), nothing());
            let time = std::mem::replace(timestamp.as_mut(), nothing());
            Some(call("timezone", vec![zone, time]))
        }
        Expr::Function(function) => self::function(function),
        _ => None,
    }
}

/// Functions that DataFusion has under another name, or whose values are of another type there.
fn function(function: &mut Function) -> Option<Expr> {
    let name = last_part(&function.name);
    if name == "array"
        && let FunctionArguments::Subquery(inner) = &mut function.args
    {
        return Some(array_of(inner));
    }
    let mut rename = |name: &str| function.name = ObjectName::from(vec![Ident::new(name)]);
    let integer = |data_type: DataType, function: &Function| {
        Some(Expr::Cast {
            kind: CastKind::DoubleColon,
            expr: Box::new(Expr::Function(function.clone())),
            data_type,
            array: false,
            format: None,
        })
    };
    match name.as_str() {
        "sign" => rename("signum"),
        "variance" => rename("var_samp"),
        "every" => rename("bool_and"),
        "ceiling" => rename("ceil"),
        "any_value" => rename("first_value"),
        "transaction_timestamp" | "statement_timestamp" => rename("now"),
        "localtimestamp" => {
            let text = |text: &str| Expr::Value(Value::SingleQuotedString(text.to_owned()).into());
            return Some(call("timezone", vec![text("UTC"), call("now", vec![])]));
        }
        "gen_random_uuid" => return Some(call(Input::Uuid.name(), vec![call("uuid", vec![])])),
        // In a select list it gives rows, not a list; in FROM it is no expression.
        "generate_series" => return Some(call("unnest", vec![Expr::Function(function.clone())])),
        "row_number" | "rank" | "dense_rank" if function.over.is_some() => {
            return integer(DataType::BigInt(None), function);
        }
        "ntile" if function.over.is_some() => return integer(DataType::Int4(None), function),
        "array_length" | "cardinality" | "array_ndims" | "array_position" => {
            return integer(DataType::Int4(None), function);
        }
        _ => {}
    }
    None
}

/// A function in FROM names its only column as its alias.
fn name_function_column(factor: &mut TableFactor) {
    let (name, alias) = match factor {
        TableFactor::Table { name, args: Some(_), alias, .. } => (last_part(name), alias),
        TableFactor::UNNEST { array_exprs, alias, .. } if array_exprs.len() == 1 => ("unnest".to_owned(), alias),
        _ => return,
    };
    if !matches!(name.as_str(), "generate_series" | "range" | "unnest") {
        return;
    }
    let alias = alias.get_or_insert_with(|| TableAlias {
        explicit: true,
        name: Ident::with_quote('"', &name),
        columns: vec![],
        at: None,
    });
    if alias.columns.is_empty() {
        alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
}

fn body(set: &mut SetExpr) {
    table(set);
    match set {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                    type_integers(expr);
                }
            }
            select.selection.iter_mut().chain(&mut select.having).for_each(type_integers);
            for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
                use JoinOperator as J;
                if let J::Join(JoinConstraint::On(on))
                | J::Inner(JoinConstraint::On(on))
                | J::Left(JoinConstraint::On(on))
                | J::LeftOuter(JoinConstraint::On(on))
                | J::Right(JoinConstraint::On(on))
                | J::RightOuter(JoinConstraint::On(on))
                | J::FullOuter(JoinConstraint::On(on)) = &mut join.join_operator
                {
                    type_integers(on);
                }
            }
        }
        SetExpr::Values(values) => values.rows.iter_mut().flat_map(|row| &mut row.content).for_each(type_integers),
        SetExpr::SetOperation { left, right, .. } => {
            body(left);
            body(right);
        }
        _ => {}
    }
}

/// A whole number that fits is an `integer`, as drivers expect of `SELECT 1`; to DataFusion it would
/// be a `bigint`. Not so where a number is a place (ORDER BY 1) or a count (LIMIT 1).
fn type_integers(expr: &mut Expr) {
    struct Integers {
        depth: usize,
    }
    impl VisitorMut for Integers {
        type Break = ();
        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            // A query inside has select lists of its own, which the caller reaches by itself.
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            // In a row of values DataFusion takes literals only.
            self.depth += usize::from(matches!(expr, Expr::Tuple(_)));
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            self.depth -= usize::from(matches!(expr, Expr::Tuple(_)));
            let is_integer = match expr {
                Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => text.parse::<i32>().is_ok(),
                _ => false,
            };
            if is_integer && self.depth == 0 {
                let number = std::mem::replace(expr, Expr::Value(Value::Null.into()));
                *expr = Expr::Cast {
                    kind: CastKind::DoubleColon,
                    expr: Box::new(number),
                    data_type: DataType::Int4(None),
                    array: false,
                    format: None,
                };
            }
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(expr, &mut Integers { depth: 0 });
}

/// `TABLE name` is `SELECT * FROM name`.
fn table(set: &mut SetExpr) {
    match set {
        SetExpr::Table(table) => {
            let Some(name) = table.table_name.clone() else { return };
            let parts = table.schema_name.iter().cloned().chain([name]).map(Ident::new).collect::<Vec<_>>();
            let relation = TableFactor::Table {
                name: ObjectName::from(parts),
                alias: None,
                args: None,
                with_hints: vec![],
                version: None,
                with_ordinality: false,
                partitions: vec![],
                json_path: None,
                sample: None,
                index_hints: vec![],
            };
            *set = SetExpr::Select(Box::new(select(
                vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
                vec![TableWithJoins { relation, joins: vec![] }],
            )));
        }
        SetExpr::SetOperation { left, right, .. } => {
            self::table(left);
            self::table(right);
        }
        _ => {}
    }
}

fn select(projection: Vec<SelectItem>, from: Vec<TableWithJoins>) -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: vec![],
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection,
        exclude: None,
        into: None,
        from,
        lateral_views: vec![],
        prewhere: None,
        selection: None,
        connect_by: vec![],
        group_by: GroupByExpr::Expressions(vec![], vec![]),
        cluster_by: vec![],
        distribute_by: vec![],
        sort_by: vec![],
        having: None,
        named_window: vec![],
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}

/// ARRAY(query): the list of the query's only column, empty when it has no rows.
fn array_of(inner: &mut Box<Query>) -> Expr {
    let nothing = Query {
        with: None,
        body: Box::new(SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows: vec![] })),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: vec![],
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: vec![],
    };
    let inner = std::mem::replace(inner, Box::new(nothing.clone()));
    let item = Ident::with_quote('"', "item");
    let list = call("array_agg", vec![Expr::Identifier(item.clone())]);
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', "items"),
        columns: vec![TableAliasColumnDef { name: item, data_type: None }],
        at: None,
    };
    let from = TableFactor::Derived { lateral: false, subquery: inner, alias: Some(alias), sample: None };
    let body = SetExpr::Select(Box::new(select(
        vec![SelectItem::UnnamedExpr(list)],
        vec![TableWithJoins { relation: from, joins: vec![] }],
    )));
    Expr::Subquery(Box::new(Query { body: Box::new(body), ..nothing }))
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

/// Casts that Arrow would do differently: text that must be cut, and bytes that are written as text.
fn cast(inner: &Expr, data_type: &DataType) -> Option<Expr> {
    let (type_oid, modifier) = written_type(&data_type.to_string())?;
    let is_placeholder = matches!(inner, Expr::Value(v) if matches!(v.value, Value::Placeholder(_)));
    let literal = match inner {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text),
            ..
        }) => Some(text),
        _ => None,
    };
    let cast_of = |expr: Expr| Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(expr),
        data_type: data_type.clone(),
        array: false,
        format: None,
    };
    match type_oid {
        oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::TIME => {
            let full = with_seconds(literal?)?;
            Some(cast_of(Expr::Value(Value::SingleQuotedString(full).into())))
        }
        array if element_of(array).is_some() => {
            // Text of another form stays as it is, and the cast says what is wrong with it.
            let items = from_text(literal?, 1009).ok()?;
            let items = items.as_list()?.iter().map(|item| {
                Expr::Value(item.as_str().map_or(Value::Null, |t| Value::SingleQuotedString(t.to_owned())).into())
            });
            Some(cast_of(Expr::Array(Array { elem: items.collect(), named: true })))
        }
        oid::VARCHAR | oid::BPCHAR if modifier >= 4 => {
            let length = Expr::Value(Value::Number((modifier - 4).to_string(), false).into());
            let text = Expr::Cast {
                kind: CastKind::DoubleColon,
                expr: Box::new(inner.clone()),
                data_type: DataType::Text,
                array: false,
                format: None,
            };
            // char(n) is filled up with blanks.
            let cut = call(if type_oid == oid::VARCHAR { "left" } else { "rpad" }, vec![text, length]);
            Some(cast_of(cut))
        }
        oid::UUID if !is_placeholder => Some(call(Input::Uuid.name(), vec![inner.clone()])),
        oid::BYTEA if !is_placeholder => Some(call(Input::Bytea.name(), vec![inner.clone()])),
        _ => None,
    }
}

fn operator(name: &str) -> Option<BinaryOperator> {
    use BinaryOperator as Op;
    Some(match name {
        "=" => Op::Eq,
        "<>" | "!=" => Op::NotEq,
        "<" => Op::Lt,
        "<=" => Op::LtEq,
        ">" => Op::Gt,
        ">=" => Op::GtEq,
        "~" => Op::PGRegexMatch,
        "~*" => Op::PGRegexIMatch,
        "!~" => Op::PGRegexNotMatch,
        "!~*" => Op::PGRegexNotIMatch,
        "~~" => Op::PGLikeMatch,
        "~~*" => Op::PGILikeMatch,
        "!~~" => Op::PGNotLikeMatch,
        "!~~*" => Op::PGNotILikeMatch,
        "||" => Op::StringConcat,
        "+" => Op::Plus,
        "-" => Op::Minus,
        "*" => Op::Multiply,
        "/" => Op::Divide,
        "%" => Op::Modulo,
        _ => return None,
    })
}

/// LIKE with another escape character than the backslash, when the pattern is a literal.
fn escape(pattern: &mut Expr, escape_char: &mut Option<ValueWithSpan>) {
    let Some(Value::SingleQuotedString(with)) = escape_char.as_ref().map(|v| &v.value) else { return };
    let with = match with.chars().collect::<Vec<_>>().as_slice() {
        [] => None,
        ['\\'] => {
            *escape_char = None;
            return;
        }
        [one] => Some(*one),
        _ => return,
    };
    let Expr::Value(value) = pattern else { return };
    let (Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text)) = &value.value else { return };
    let mut escaped = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == with => {
                escaped.push('\\');
                escaped.extend(chars.next());
            }
            '\\' => escaped.push_str("\\\\"),
            c => escaped.push(c),
        }
    }
    value.value = Value::SingleQuotedString(escaped);
    *escape_char = None;
}

/// Gives unquoted column names that exist only in another case their exact form.
pub(crate) fn spell_columns(query: &mut Query, spelling: &HashMap<String, String>) {
    let mut visitor = Speller { spelling };
    let _ = VisitMut::visit(query, &mut visitor);
}

struct Speller<'a> {
    spelling: &'a HashMap<String, String>,
}

impl VisitorMut for Speller<'_> {
    type Break = ();
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let ident = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(idents) => idents.last_mut(),
            _ => None,
        };
        if let Some(ident) = ident
            && ident.quote_style.is_none()
            && let Some(exact) = self.spelling.get(&folded(ident))
        {
            ident.value.clone_from(exact);
            ident.quote_style = Some('"');
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str) -> String {
        let parsed = planner::parse(sql).unwrap().remove(0);
        let planner::Statement::Sql(statement) = parsed.statement else { panic!("{sql}") };
        let Statement::Query(mut query) = *statement else { panic!("{sql}") };
        rewrite(&mut query);
        query.to_string()
    }

    #[test]
    fn other_databases_words_become_the_engines() {
        for (sql, expected) in [
            ("select a::varchar(3) from t", "SELECT left(a::TEXT, 3)::VARCHAR(3) FROM t"),
            ("select 'x'::uuid", "SELECT tidegate_uuid_in('x')"),
            ("select a OPERATOR(pg_catalog.~) 'x' COLLATE pg_catalog.default from t", "SELECT a ~ 'x' FROM t"),
            ("select a like 'b/_%\\' escape '/' from t", "SELECT a LIKE 'b\\_%\\\\' FROM t"),
            ("select a collate \"de_DE\" from t", "SELECT a COLLATE \"de_DE\" FROM t"),
            (
                "select 1, 3000000000, a + 1 from t where b = 2 order by 1 limit 3",
                "SELECT 1::INT4, 3000000000, a + 1::INT4 FROM t WHERE b = 2::INT4 ORDER BY 1 LIMIT 3",
            ),
            ("select '{1,2}'::int[]", "SELECT ARRAY['1', '2']::INT[]"),
            ("select at at time zone 'UTC' from t", "SELECT timezone('UTC', at) FROM t"),
            ("select generate_series(1,2)", "SELECT unnest(generate_series(1::INT4, 2::INT4))"),
            ("select g from generate_series(1,2) g", "SELECT g FROM generate_series(1, 2) g (g)"),
            ("select timestamp '2024-01-01 10:00'", "SELECT TIMESTAMP '2024-01-01 10:00:00'"),
        ] {
            assert_eq!(rewritten(sql), expected, "{sql}");
        }
    }
}
