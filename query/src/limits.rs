//! Bounds of expressions and queries, each with its reason.

/// Bytes of one expression: far more than people write, far less than would be slow to parse.
pub const EXPRESSION_BYTES_MAX: usize = 4 * 1024;

/// Nesting of an expression: the evaluator goes down as deep.
pub(crate) const EXPRESSION_DEPTH_MAX: u16 = 48;

/// Steps of one evaluation: a fleet's worth of twins is looked at, so none may take long. A
/// comparison takes three; a loop over a thousand items some thousands.
pub(crate) const STEPS_MAX: u32 = 20_000;

/// Bytes of text that one step is for, where a step's work grows with the text.
pub(crate) const STEP_BYTES: usize = 256;

/// Bytes that a compiled pattern may take up.
pub(crate) const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// Expressions of one query that columns, order or groups may be made of.
pub const EXPRESSIONS_MAX: usize = 32;

/// Rows of one answer: each shard holds as many while it looks.
pub const ROWS_MAX: usize = 10_000;

/// Bytes of the rows of one answer, as JSON, on one shard.
pub const ROWS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Groups of one answer.
pub const GROUPS_MAX: usize = 10_000;

/// Milliseconds of a duration that is written out: a hundred thousand years; beyond it is a mistake.
pub(crate) const DURATION_MS_MAX: f64 = 3.2e15;

/// Bytes of a type with its schemas as JSON: all of them are in the memory of every node.
pub const SCHEMAS_BYTES_MAX: usize = 64 * 1024;

/// Nesting of a type as JSON: three levels for each that a twin's values may have by default.
pub const SCHEMAS_DEPTH_MAX: usize = 48;

/// Commands that a type may name.
pub(crate) const TYPE_COMMANDS_MAX: usize = 256;

/// Subschemas that may look at one part of a value: far more than people write, and little beside the
/// disk that a write waits for.
pub(crate) const SCHEMA_LOOKS_MAX: u64 = 1_000;

/// Patterns in all schemas of a type: each takes up as much memory as a compiled pattern may.
pub(crate) const TYPE_PATTERNS_MAX: usize = 64;
