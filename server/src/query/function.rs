//! The functions of the client catalog as DataFusion calls them, and the few of our own that casts
//! of `uuid` and `bytea` become.

use crate::pgcatalog::arrow::{array, field, from_scalar, type_of_field};
use crate::pgcatalog::function::{Call, Function};
use crate::pgcatalog::snapshot::Catalog;
use crate::pgcatalog::value::Value;
use catalog::{Error, ErrorKind};
use connector_api::{TYPE_KEY, to_datafusion};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, FixedSizeBinaryBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

type Result<T, E = DataFusionError> = std::result::Result<T, E>;

/// Functions of which DataFusion has its own that says something else.
const OVERRIDES: &[&str] = &["version"];

/// Whether the client catalog's function is meant although DataFusion has one of the name.
pub(crate) fn is_override(name: &str) -> bool {
    OVERRIDES.contains(&name)
}

/// A function of the client catalog, bound to one statement's view of it.
pub(crate) fn of_catalog(function: &'static Function, catalog: Arc<Catalog>) -> Arc<ScalarUDF> {
    let volatility = match function.name {
        "set_config" | "pg_cancel_backend" | "clock_timestamp" => Volatility::Volatile,
        _ => Volatility::Stable,
    };
    let signature = Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], volatility);
    Arc::new(ScalarUDF::from(CatalogFunction { function, catalog, signature }))
}

struct CatalogFunction {
    function: &'static Function,
    catalog: Arc<Catalog>,
    signature: Signature,
}

impl std::fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.function.name)
    }
}
impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.function, other.function) && Arc::ptr_eq(&self.catalog, &other.catalog)
    }
}
impl Eq for CatalogFunction {}
impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl CatalogFunction {
    fn types(fields: &[FieldRef]) -> Vec<u32> {
        fields.iter().map(|f| type_of_field(f)).collect()
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.function.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let fields: Vec<FieldRef> = arguments.iter().map(|t| Arc::new(Field::new("", t.clone(), true))).collect();
        Ok(field("", self.function.returns.of(&Self::types(&fields))).data_type().clone())
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let (least, most) = self.function.arguments;
        if !(least..=most).contains(&args.arg_fields.len()) {
            return Err(to_datafusion(Error::new(
                ErrorKind::UndefinedFunction,
                format!("function {} does not exist with {} arguments", self.function.name, args.arg_fields.len()),
            )));
        }
        Ok(Arc::new(field(self.function.name, self.function.returns.of(&Self::types(args.arg_fields)))))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types = Self::types(&args.arg_fields);
        let is_constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let count = if is_constant { 1 } else { args.number_rows };
        let mut values: Vec<Value> = Vec::with_capacity(count);
        for row in 0..count {
            let mut arguments = Vec::with_capacity(args.args.len());
            for argument in &args.args {
                arguments.push(match argument {
                    ColumnarValue::Scalar(scalar) => from_scalar(scalar),
                    ColumnarValue::Array(array) => from_scalar(&ScalarValue::try_from_array(array, row)?),
                });
            }
            let value = if self.function.is_strict && arguments.iter().any(Value::is_null) {
                Value::Null
            } else {
                let call = Call { arguments: &arguments, types: &types, catalog: &self.catalog };
                (self.function.call)(&call).map_err(to_datafusion)?
            };
            values.push(value);
        }
        let type_oid = self.function.returns.of(&types);
        let result = array(type_oid, &values.iter().collect::<Vec<_>>(), &self.catalog);
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// What a cast of text to `uuid` or `bytea` becomes; values that are already of the type pass.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TextInput {
    kind: Input,
    signature: Signature,
}

/// The types whose text form Arrow does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    Uuid,
    Bytea,
}

impl Input {
    /// The name under which the planner finds it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uuid => "tidegate_uuid_in",
            Self::Bytea => "tidegate_bytea_in",
        }
    }
    /// The function.
    pub(crate) fn function(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::from(TextInput { kind: self, signature: Signature::any(1, Volatility::Immutable) }))
    }
    /// The value that a literal text is of the type.
    pub(crate) fn read(self, text: &str) -> Result<ScalarValue> {
        Ok(match self {
            Self::Uuid => ScalarValue::FixedSizeBinary(16, Some(read_uuid(text)?.to_vec())),
            Self::Bytea => ScalarValue::Binary(Some(read_bytea(text)?)),
        })
    }
}

impl ScalarUDFImpl for TextInput {
    fn name(&self) -> &str {
        self.kind.name()
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Input::Uuid => DataType::FixedSizeBinary(16),
            Input::Bytea => DataType::Binary,
        })
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = Field::new(self.name(), self.return_type(&[])?, true);
        Ok(Arc::new(match (self.kind, args.arg_fields) {
            (Input::Uuid, _) => field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), "uuid".to_owned())])),
            (Input::Bytea, _) => field,
        }))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(input) = arrays.first() else {
            return Err(to_datafusion(Error::internal("a cast has no operand")));
        };
        let wanted = self.return_type(&[])?;
        let result: ArrayRef = match input.data_type() {
            t if *t == wanted => input.clone(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                let texts = cast(input, &DataType::Utf8)?;
                let texts = texts.as_string::<i32>();
                match self.kind {
                    Input::Uuid => {
                        let mut builder = FixedSizeBinaryBuilder::with_capacity(texts.len(), 16);
                        for text in texts {
                            match text {
                                Some(text) => builder.append_value(read_uuid(text)?)?,
                                None => builder.append_null(),
                            }
                        }
                        Arc::new(builder.finish())
                    }
                    Input::Bytea => {
                        let mut builder = BinaryBuilder::new();
                        for text in texts {
                            match text {
                                Some(text) => builder.append_value(read_bytea(text)?),
                                None => builder.append_null(),
                            }
                        }
                        Arc::new(builder.finish())
                    }
                }
            }
            _ => cast(input, &wanted)?,
        };
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// The sixteen bytes of a written uuid: with or without hyphens and braces, in any case.
fn read_uuid(text: &str) -> Result<[u8; 16]> {
    let invalid =
        || to_datafusion(Error::new(ErrorKind::InvalidText, format!("invalid input syntax for type uuid: \"{text}\"")));
    let bare = text.trim();
    let bare = bare.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(bare);
    let digits: Vec<u8> = bare.bytes().filter(|b| *b != b'-').collect();
    if digits.len() != 32 {
        return Err(invalid());
    }
    let mut bytes = [0u8; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = hex(pair).ok_or_else(invalid)?;
    }
    Ok(bytes)
}

/// The bytes of a written bytea: `\x` and hexadecimal digits, or text with `\\` and `\ooo`.
fn read_bytea(text: &str) -> Result<Vec<u8>> {
    let invalid = || to_datafusion(Error::new(ErrorKind::InvalidText, "invalid input syntax for type bytea"));
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        if digits.len() % 2 == 1 {
            return Err(invalid());
        }
        return digits.chunks_exact(2).map(|pair| hex(pair).ok_or_else(invalid)).collect();
    }
    let mut bytes = vec![];
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'\\') => bytes.push(b'\\'),
            Some(first @ b'0'..=b'3') => {
                let (Some(second @ b'0'..=b'7'), Some(third @ b'0'..=b'7')) = (rest.next(), rest.next()) else {
                    return Err(invalid());
                };
                bytes.push((first - b'0') << 6 | (second - b'0') << 3 | (third - b'0'));
            }
            _ => return Err(invalid()),
        }
    }
    Ok(bytes)
}

fn hex(pair: &[u8]) -> Option<u8> {
    let digit = |b: u8| (b as char).to_digit(16);
    u8::try_from(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bytes_are_read_as_postgresql_reads_them() {
        assert_eq!(read_bytea("\\xDEad").unwrap(), [0xde, 0xad]);
        assert_eq!(read_bytea("a\\\\b\\001").unwrap(), b"a\\b\x01");
        assert!(read_bytea("\\xD").is_err());
        assert!(read_bytea("\\9").is_err());
        let uuid = read_uuid("{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}").unwrap();
        assert_eq!((uuid[0], uuid[15]), (0xa0, 0x11));
        assert!(read_uuid("a0eebc99").is_err());
    }
}
