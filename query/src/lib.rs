//! The filter language over twins: parse, compile, evaluate on packed bytes; and queries made of it.
//! Pure; asking for twins and answering is runtime/'s business.
//!
//! Start reading at [`Expression`] and [`Filter`], then [`Query`] and [`Collector`].

mod collector;
mod compile;
mod error;
mod eval;
mod expr;
mod filter;
mod limits;
mod order;
mod plan;
mod query;
mod subject;
mod text;
mod value;

pub use collector::{Collector, Group, Part, Row};
pub use error::{ExpressionError, QueryError, TooCostly};
pub use filter::{Expression, Filter};
pub use limits::{EXPRESSION_BYTES_MAX, EXPRESSIONS_MAX, GROUPS_MAX, ROWS_BYTES_MAX, ROWS_MAX};
pub use plan::choose;
pub use query::{After, OrderBy, Query, Text};
pub use subject::Subject;
