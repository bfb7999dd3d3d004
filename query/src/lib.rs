//! The filter language over twins: parse, compile, evaluate on packed bytes; and queries made of it. And the
//! schemas of device types.
//! Pure; asking for twins and answering is runtime/'s business.
//!
//! Start reading at [`Expression`] and [`Filter`], then [`Query`] and [`Collector`]; at [`Schemas`] for types.

mod collector;
mod compile;
mod error;
mod eval;
mod expr;
mod filter;
mod groups;
mod imply;
mod limits;
mod order;
mod plan;
mod query;
mod schema;
mod subject;
mod text;
mod value;

pub use collector::{Collector, Group, Part, Row};
pub use error::{ExpressionError, QueryError, TooCostly};
pub use filter::{Expression, Filter};
pub use groups::{put_in, write_out};
pub use limits::{
    EXPRESSION_BYTES_MAX, EXPRESSIONS_MAX, GROUPS_MAX, ROWS_BYTES_MAX, ROWS_MAX, SCHEMAS_BYTES_MAX,
    SCHEMAS_DEPTH_MAX,
};
pub use plan::choose;
pub use query::{After, OrderBy, Query, Text};
pub use schema::{SchemaError, Schemas};
pub use subject::Subject;
