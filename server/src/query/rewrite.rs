//! Forms that PostgreSQL reads and DataFusion does not, as forms that mean the same.

use super::function::Input;
use super::names::{folded, last_part};
use crate::pg_types::oid;
use crate::pgcatalog::value::written_type;
use datafusion::sql::sqlparser::ast::*;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Rewrites a query in place. Names of outputs must have been given before, see `query::names`.
pub(crate) fn rewrite(query: &mut Query) {
    let mut visitor = Rewriter;
    let _ = VisitMut::visit(query, &mut visitor);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        body(&mut query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Cast { expr: inner, data_type, array: false, format: None, .. } => {
                if let Some(replaced) = cast(inner, data_type) {
                    *expr = replaced;
                }
            }
            Expr::BinaryOp { op, .. } => {
                if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                    && let Some(plain) = parts.last().and_then(|name| operator(name))
                {
                    *op = plain;
                }
            }
            // Text is compared by its bytes here, which is what these collations say.
            Expr::Collate { expr: inner, collation }
                if matches!(last_part(collation).to_lowercase().as_str(), "default" | "c" | "posix" | "ucs_basic") =>
            {
                *expr = std::mem::replace(inner, Expr::Value(Value::Null.into()));
            }
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => escape(pattern, escape_char),
            Expr::Function(call) if last_part(&call.name) == "array" => {
                if let FunctionArguments::Subquery(inner) = &mut call.args {
                    *expr = array_of(inner);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `TABLE name` is `SELECT * FROM name`.
fn body(set: &mut SetExpr) {
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
            body(left);
            body(right);
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
    match type_oid {
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
            Some(Expr::Cast {
                kind: CastKind::DoubleColon,
                expr: Box::new(cut),
                data_type: data_type.clone(),
                array: false,
                format: None,
            })
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
        ] {
            assert_eq!(rewritten(sql), expected, "{sql}");
        }
    }
}
