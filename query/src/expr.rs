//! A compiled expression: names are resolved, constants made, patterns compiled.

use regex::Regex;

/// One step of an evaluation and what it is made of. The same are written the same, but for names of variables.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Const(Constant),
    /// Something of the twin.
    Path(Root, Box<[Box<str>]>),
    /// A variable of a loop around it, by its place on the stack.
    Local(usize),
    Select(Box<Self>, Box<str>),
    Index(Box<Self>, Box<Self>),
    Has(Box<Self>),
    Not(Box<Self>),
    Negate(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    If(Box<[Self; 3]>),
    Compare(Comparison, Box<Self>, Box<Self>),
    In(Box<Self>, Box<Self>),
    Arithmetic(Arithmetic, Box<Self>, Box<Self>),
    List(Box<[Self]>),
    Call(Function, Box<[Self]>),
    Matches(Box<Self>, Pattern),
    /// A plain yes, and nothing else.
    Holds(Box<Self>),
    /// Anything but a plain no.
    NotStrictlyFalse(Box<Self>),
    Loop(Box<Loop>),
}

/// What a text is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(pub(crate) Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// What is written out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(Box<str>),
    /// Milliseconds.
    Duration(i64),
    /// Milliseconds since the Unix epoch.
    Time(i64),
}

/// `all`, `exists`, `exists_one`, `map`, `filter`: what they are made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loop {
    pub(crate) range: Expr,
    /// What the result begins with; it lies on the stack, then the item.
    pub(crate) begin: Expr,
    pub(crate) goes_on: Expr,
    pub(crate) step: Expr,
    pub(crate) result: Expr,
}

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Id,
    Tenant,
    Version,
    Tags,
    Desired,
    Reported,
    Telemetry,
    Presence(Presence),
    Meta(Of, Meta),
    Quarantined,
    Standing,
    Type,
    TypeVersion,
    Groups,
    InSync,
    Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Connected,
    Unknown,
    Node,
    Since,
    Seen,
}

/// A section, where something is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Tags,
    Desired,
    Reported,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meta {
    Version,
    At,
    By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    LowerAscii,
    UpperAscii,
    Int,
    Double,
    String,
    Timestamp,
    Duration,
}
