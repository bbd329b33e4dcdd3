//! The names of result columns as PostgreSQL gives them.
//!
//! DataFusion names an expression by its text and refuses two columns of one name. So every
//! unnamed item of a select list is given PostgreSQL's name as an alias where that is unambiguous,
//! and otherwise a private alias whose public name is remembered here.

use datafusion::sql::sqlparser::ast::*;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

/// Private aliases and the names that clients see instead.
#[derive(Debug, Default)]
pub(crate) struct OutputNames {
    names: HashMap<String, String>,
}

impl OutputNames {
    /// The name that the client sees for a field of the plan.
    pub(crate) fn public<'a>(&'a self, field: &'a str) -> &'a str {
        self.names.get(field).map_or(field, String::as_str)
    }

    fn private(&mut self, public: String) -> Ident {
        let name = format!("?column?{}", self.names.len());
        self.names.insert(name.clone(), public);
        Ident::with_quote('"', name)
    }
}

/// Gives every item of every select list in the query a name that DataFusion can work with.
pub(crate) fn name_outputs(query: &mut Query) -> OutputNames {
    let mut visitor = Namer { names: OutputNames::default() };
    let _ = VisitMut::visit(query, &mut visitor);
    visitor.names
}

struct Namer {
    names: OutputNames,
}

impl VisitorMut for Namer {
    type Break = ();
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        name_body(&mut query.body, &mut self.names);
        ControlFlow::Continue(())
    }
}

fn name_body(body: &mut SetExpr, names: &mut OutputNames) {
    match body {
        SetExpr::Select(select) => name_select(select, names),
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left, names);
            name_body(right, names);
        }
        _ => {}
    }
}

fn name_select(select: &mut Select, names: &mut OutputNames) {
    let has_wildcard = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut used: HashSet<String> = HashSet::new();
    let explicit: HashSet<String> = select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
            SelectItem::UnnamedExpr(expr) => column_of(expr).map(folded),
            _ => None,
        })
        .collect();
    for item in &mut select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = folded(alias);
                if !used.insert(name.clone()) {
                    *alias = names.private(name);
                }
            }
            SelectItem::UnnamedExpr(expr) => {
                let alias = if let Some(column) = column_of(expr) {
                    let name = folded(column);
                    // A bare column keeps its table, so that ORDER BY may use it; a second one of
                    // the name, or one beside a star, needs another name inside.
                    if !has_wildcard && used.insert(name.clone()) { None } else { Some(names.private(name)) }
                } else {
                    let name = figure_name(expr);
                    if has_wildcard || explicit.contains(&name) || name == "?column?" || !used.insert(name.clone()) {
                        Some(names.private(name))
                    } else {
                        Some(Ident::with_quote('"', name))
                    }
                };
                if let Some(alias) = alias {
                    let expr = std::mem::replace(expr, Expr::Value(Value::Null.into()));
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
            }
            _ => {}
        }
    }
}

/// An identifier as PostgreSQL reads it: unquoted ones fold to lower case.
pub(crate) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The last part of a name, folded.
pub(crate) fn last_part(name: &ObjectName) -> String {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(ident)) => folded(ident),
        Some(other) => other.to_string().to_lowercase(),
        None => String::new(),
    }
}

fn column_of(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

/// The name that PostgreSQL gives to an unnamed expression.
pub(crate) fn figure_name(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// The name and whether it is a strong one: a weak one (of a type, of CASE) gives way.
fn figure(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    let weak = |name: &str| Some((name.to_owned(), false));
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => column_of(expr).map(|ident| (folded(ident), true)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some((folded(ident), true)),
                _ => None,
            });
            field.or_else(|| figure(root))
        }
        Expr::Function(function) if matches!(function.args, FunctionArguments::Subquery(_)) => strong("array"),
        Expr::Function(function) => Some((last_part(&function.name), true)),
        Expr::Cast { expr: inner, data_type, .. } => match figure(inner) {
            Some((name, true)) => Some((name, true)),
            _ => Some((type_word(data_type), false)),
        },
        Expr::TypedString(typed) => Some((type_word(&typed.data_type), false)),
        Expr::Interval(_) => weak("interval"),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((name, true)) => Some((name, true)),
            _ => weak("case"),
        },
        Expr::Exists { .. } => strong("exists"),
        Expr::Subquery(query) => first_item(&query.body),
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { shorthand, .. } => strong(if *shorthand { "substr" } else { "substring" }),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::AtTimeZone { .. } => strong("timezone"),
        _ => None,
    }
}

fn first_item(body: &SetExpr) -> Option<(String, bool)> {
    match body {
        SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::ExprWithAlias { alias, .. } => Some((folded(alias), true)),
            SelectItem::UnnamedExpr(expr) => figure(expr),
            _ => None,
        },
        SetExpr::Query(query) => first_item(&query.body),
        SetExpr::SetOperation { left, .. } => first_item(left),
        _ => None,
    }
}

/// PostgreSQL's internal name of a written type, which names a cast's column.
fn type_word(data_type: &DataType) -> String {
    if let DataType::Array(ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::AngleBracket(element)) =
        data_type
    {
        return type_word(element);
    }
    let text = data_type.to_string();
    let bare = text.split('(').next().unwrap_or("").trim().to_lowercase();
    let word = match bare.as_str() {
        "int" | "integer" => "int4",
        "bigint" => "int8",
        "smallint" => "int2",
        "real" | "float4" => "float4",
        "double precision" | "double" | "float" | "float8" => "float8",
        "boolean" => "bool",
        "decimal" | "dec" => "numeric",
        "character varying" => "varchar",
        "character" | "char" => "bpchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        _ => return last_word(&bare),
    };
    word.to_owned()
}

fn last_word(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str) -> Vec<String> {
        let parsed = planner::parse(sql).unwrap().remove(0);
        let planner::Statement::Sql(statement) = parsed.statement else { panic!("{sql}") };
        let Statement::Query(mut query) = *statement else { panic!("{sql}") };
        let names = name_outputs(&mut query);
        let SetExpr::Select(select) = *query.body else { panic!("{sql}") };
        let mut out = vec![];
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => out.push(names.public(&alias.value).to_owned()),
                SelectItem::UnnamedExpr(expr) => out.push(figure_name(expr)),
                _ => out.push("*".into()),
            }
        }
        out
    }

    #[test]
    fn columns_are_named_as_postgresql_names_them() {
        assert_eq!(
            names("select 1, 1+1, count(*), upper(a), b, t.C, 'x'::text, a::int, date '2024-01-01', 1::numeric(3,1)"),
            ["?column?", "?column?", "count", "upper", "b", "c", "text", "a", "date", "numeric"]
        );
        assert_eq!(
            names(
                "select case when a then 1 end, case when a then 1 else b end, exists (select 1), (select x from t), array[1], current_user"
            ),
            ["case", "b", "exists", "x", "array", "current_user"]
        );
        assert_eq!(names("select 1 as a, 2 as a, upper(a), upper(b)"), ["a", "a", "upper", "upper"]);
        assert_eq!(names("select *, id, count(x)"), ["*", "id", "count"]);
    }
}
