//! Written types as Arrow: what a cast in a query means.
//!
//! Everything that PostgreSQL knows is known here by every name it has; a type without an Arrow
//! twin is text that remembers its name. Times are in microseconds, as PostgreSQL's are.

use crate::pg_types::{oid, type_name};
use crate::pgcatalog::value::{element_of, is_numbered, is_reg, written_type};
use catalog::{Error, ErrorKind};
use connector_api::{TYPE_KEY, to_datafusion};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast;
use std::collections::HashMap;
use std::sync::Arc;

/// Plans types for a session: a `timestamptz` is in its time zone.
#[derive(Debug)]
pub(crate) struct Types {
    pub time_zone: Arc<str>,
}

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>, DataFusionError> {
        let text = sql_type.to_string();
        match written_type(&text) {
            Some((type_oid, _)) if is_reg(type_oid) => Err(to_datafusion(Error::unsupported(format!(
                "type {} in a query over other tables",
                text.to_lowercase()
            )))),
            Some((type_oid, modifier)) => Ok(field_of(type_oid, modifier, &self.time_zone).map(Arc::new)),
            None => match sql_type {
                ast::DataType::Custom(name, _) => Err(to_datafusion(Error::new(
                    ErrorKind::UndefinedObject,
                    format!("type \"{}\" does not exist", super::names::last_part(name)),
                ))),
                _ => Ok(None),
            },
        }
    }
}

/// The Arrow field of values of a PostgreSQL type; None where DataFusion's own choice stands.
pub(crate) fn field_of(type_oid: u32, modifier: i32, time_zone: &Arc<str>) -> Option<Field> {
    if let Some(element) = element_of(type_oid) {
        let item = field_of(element, modifier, time_zone)?.with_name("item");
        return Some(Field::new("", DataType::List(Arc::new(item)), true));
    }
    let named = |data_type: DataType, name: String| {
        Field::new("", data_type, true).with_metadata(HashMap::from([(TYPE_KEY.to_owned(), name)]))
    };
    let own_name = || type_name(type_oid).unwrap_or_default();
    let plain = |data_type| Some(Field::new("", data_type, true));
    match type_oid {
        oid::BOOL => plain(DataType::Boolean),
        oid::INT2 => plain(DataType::Int16),
        oid::INT4 => plain(DataType::Int32),
        oid::INT8 => plain(DataType::Int64),
        t if is_numbered(t) => Some(named(DataType::Int64, own_name())),
        oid::FLOAT4 => plain(DataType::Float32),
        oid::FLOAT8 => plain(DataType::Float64),
        oid::NUMERIC if modifier >= 4 => {
            let packed = modifier - 4;
            let (precision, scale) = (packed >> 16 & 0xffff, packed & 0x7ff);
            let (precision, scale) = (u8::try_from(precision).ok()?, i8::try_from(scale).ok()?);
            plain(if precision <= 38 {
                DataType::Decimal128(precision, scale)
            } else {
                DataType::Decimal256(precision, scale)
            })
        }
        oid::TEXT => plain(DataType::Utf8),
        oid::VARCHAR | oid::BPCHAR => {
            let word = own_name();
            Some(named(DataType::Utf8, if modifier >= 4 { format!("{word}({})", modifier - 4) } else { word }))
        }
        oid::NAME | oid::CHAR | oid::JSON | oid::JSONB | oid::XML => Some(named(DataType::Utf8, own_name())),
        oid::BYTEA => plain(DataType::Binary),
        oid::UUID => Some(named(DataType::FixedSizeBinary(16), own_name())),
        oid::DATE => plain(DataType::Date32),
        oid::TIME => plain(DataType::Time64(TimeUnit::Microsecond)),
        oid::TIMESTAMP => plain(DataType::Timestamp(TimeUnit::Microsecond, None)),
        oid::TIMESTAMPTZ => plain(DataType::Timestamp(TimeUnit::Microsecond, Some(time_zone.clone()))),
        _ => None,
    }
}

/// The Arrow field of a parameter of a type; None for a type that nobody has decided.
pub(crate) fn parameter_field(type_oid: u32, time_zone: &Arc<str>) -> Option<FieldRef> {
    let field = match type_oid {
        0 | oid::UNKNOWN => return None,
        // A number of any size: the widest that the engine computes with.
        oid::NUMERIC => Field::new("", DataType::Decimal128(38, 10), true),
        oid::INTERVAL => {
            Field::new("", DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano), true)
        }
        other => field_of(other, -1, time_zone).unwrap_or_else(|| Field::new("", DataType::Utf8, true)),
    };
    Some(Arc::new(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_mean_what_they_mean_in_postgresql() {
        let zone: Arc<str> = "UTC".into();
        let types = Types { time_zone: zone };
        let plan = |sql: &str| {
            let parsed = planner::parse(&format!("select null::{sql}")).unwrap().remove(0);
            let planner::Statement::Sql(statement) = parsed.statement else { panic!() };
            let ast::Statement::Query(query) = *statement else { panic!() };
            let ast::SetExpr::Select(select) = *query.body else { panic!() };
            let ast::SelectItem::UnnamedExpr(ast::Expr::Cast { data_type, .. }) = &select.projection[0] else {
                panic!()
            };
            types.plan_type_field(data_type).map(|f| f.map(|f| f.data_type().clone()))
        };
        assert_eq!(plan("timestamptz").unwrap(), Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))));
        assert_eq!(plan("numeric(10,2)").unwrap(), Some(DataType::Decimal128(10, 2)));
        assert_eq!(plan("pg_catalog.int4").unwrap(), Some(DataType::Int32));
        assert_eq!(plan("text[]").unwrap(), Some(DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))));
        assert_eq!(plan("\"char\"").unwrap(), Some(DataType::Utf8));
        let error = crate::query::map_error(plan("nosuch").unwrap_err());
        assert_eq!((error.sqlstate(), error.message()), ("42704", "type \"nosuch\" does not exist"));
    }
}
