//! Integers as PostgreSQL computes with them.
//!
//! DataFusion lets `+`, `-` and `*` on integers wrap around in silence, and cuts the fraction off
//! when a number is cast to an integer. An analyzer rule puts functions in the place of the
//! former that end the query with 22003, and rounds before the latter.

use catalog::{Error, ErrorKind};
use connector_api::to_datafusion;
use datafusion::arrow::compute::kernels::numeric::{add, mul, sub};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::functions::math::round;
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::{Arc, LazyLock};

/// Replaces integer `+`, `-` and `*` by forms that do not wrap around, and rounds in casts.
#[derive(Debug, Default)]
pub struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan, DataFusionError> {
        plan.transform_up_with_subqueries(|plan| {
            let schema = match plan.inputs().as_slice() {
                [] => plan.schema().as_ref().clone(),
                inputs => merge_schema(inputs),
            };
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(|expr| Ok(checked(expr, &schema)))?.update_data(|expr| name.restore(expr)))
            })
        })
        .map(|transformed| transformed.data)
    }
}

fn checked(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let expr = match expr {
        Expr::Cast(Cast { expr: inner, field }) if field.data_type().is_integer() => {
            let has_fraction = match inner.get_type(schema) {
                Ok(DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale)) => scale > 0,
                Ok(DataType::Float32 | DataType::Float64) => true,
                _ => false,
            };
            if !has_fraction {
                return Transformed::no(Expr::Cast(Cast { expr: inner, field }));
            }
            let rounded = Expr::ScalarFunction(ScalarFunction::new_udf(round(), vec![*inner]));
            return Transformed::yes(Expr::Cast(Cast { expr: Box::new(rounded), field }));
        }
        other => other,
    };
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Transformed::no(expr) };
    let function = match op {
        Operator::Plus => &PLUS,
        Operator::Minus => &MINUS,
        Operator::Multiply => &TIMES,
        _ => return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
    };
    match (left.get_type(schema), right.get_type(schema)) {
        (Ok(l), Ok(r)) if l == r && l.is_integer() => {
            Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf((*function).clone(), vec![*left, *right])))
        }
        _ => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
    }
}

static PLUS: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Checked::function(Operator::Plus, "checked_plus"));
static MINUS: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Checked::function(Operator::Minus, "checked_minus"));
static TIMES: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Checked::function(Operator::Multiply, "checked_times"));

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    op: Operator,
    name: &'static str,
    signature: Signature,
}

impl Checked {
    fn function(op: Operator, name: &'static str) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(Self { op, name, signature: Signature::any(2, Volatility::Immutable) }))
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Int64))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let is_constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else {
            return Err(to_datafusion(Error::internal("an operator has other than two operands")));
        };
        let result = match self.op {
            Operator::Plus => add(left, right),
            Operator::Minus => sub(left, right),
            _ => mul(left, right),
        };
        let result = result.map_err(|error| match error {
            ArrowError::ArithmeticOverflow(_) => to_datafusion(Error::new(
                ErrorKind::NumericRange,
                format!("{} out of range", super::error::type_word(&left.data_type().to_string())),
            )),
            other => other.into(),
        })?;
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
