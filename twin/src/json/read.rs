//! Reads JSON text (RFC 8259) into a value; the first trouble ends it.

use alloc::collections::btree_map::Entry;
use alloc::string::String;
use alloc::vec::Vec;

use super::{JsonError, JsonErrorKind as Kind, JsonLimits};
use crate::value::{Object, Value};

impl Value {
    /// Reads one JSON value, with nothing but white space around it.
    ///
    /// Refused beside what is not JSON: duplicate keys, lone surrogates, integers beyond 64 bits,
    /// floats beyond the finite range, and what is over the limits.
    pub fn from_json(json: impl AsRef<[u8]>, limits: &JsonLimits) -> Result<Self, JsonError> {
        let bytes = json.as_ref();
        if bytes.len() > limits.bytes_max {
            let kind = Kind::TooLarge { max: limits.bytes_max };
            return Err(JsonError { at: limits.bytes_max, kind });
        }
        let text = core::str::from_utf8(bytes)
            .map_err(|error| JsonError { at: error.valid_up_to(), kind: Kind::NotUtf8 })?;
        let mut reader = Reader { text, bytes, at: 0, depth: 0, depth_max: limits.depth_max };
        reader.skip_space();
        let value = reader.value()?;
        reader.skip_space();
        if reader.at == bytes.len() { Ok(value) } else { Err(reader.error(Kind::Trailing)) }
    }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    depth_max: usize,
}

impl Reader<'_> {
    const fn error(&self, kind: Kind) -> JsonError {
        JsonError { at: self.at, kind }
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        self.error(if self.at < self.bytes.len() {
            Kind::Unexpected { expected }
        } else {
            Kind::Ends
        })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Value, JsonError> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, JsonError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.expected("a value"))
        }
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Value, JsonError>,
    ) -> Result<Value, JsonError> {
        if self.depth == self.depth_max {
            return Err(self.error(Kind::TooDeep { max: self.depth_max }));
        }
        self.depth += 1;
        self.at += 1; // the bracket that brought us here
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Value, JsonError> {
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            self.skip_space();
            items.push(self.value()?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take(b',') {
                return Err(self.expected("`,` or `]`"));
            }
        }
    }

    fn object(&mut self) -> Result<Value, JsonError> {
        let mut members = Object::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key in quotes"));
            }
            let key_at = self.at;
            let key = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.expected("`:`"));
            }
            self.skip_space();
            match members.entry(key) {
                Entry::Vacant(vacant) => vacant.insert(self.value()?),
                Entry::Occupied(_) => {
                    return Err(JsonError { at: key_at, kind: Kind::DuplicateKey });
                }
            };
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1; // the opening quote
        let mut string = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|b| b >= b' ' && b != b'"' && b != b'\\') {
                self.at += 1;
            }
            string.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => string.push(self.escape()?),
                Some(_) => return Err(self.error(Kind::ControlCharacter)),
                None => return Err(self.error(Kind::Ends)),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let at = self.at;
        let byte = *self.bytes.get(at + 1).ok_or_else(|| self.error(Kind::Ends))?;
        self.at += 2;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let lone = JsonError { at, kind: Kind::LoneSurrogate };
                let high = self.hex4()?;
                if !(0xD800..0xE000).contains(&high) {
                    return char::from_u32(high).ok_or(lone);
                }
                if high >= 0xDC00 || !self.bytes[self.at..].starts_with(b"\\u") {
                    return Err(lone);
                }
                self.at += 2;
                let low = self.hex4()?;
                if !(0xDC00..0xE000).contains(&low) {
                    return Err(lone);
                }
                let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                return char::from_u32(code).ok_or(lone);
            }
            _ => return Err(JsonError { at, kind: Kind::BadEscape }),
        })
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.peek().ok_or_else(|| self.error(Kind::Ends))?;
            let digit = char::from(byte).to_digit(16).ok_or_else(|| self.error(Kind::BadEscape))?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return Err(self.error(Kind::BadNumber));
        }
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        let negative = self.take(b'-');
        if self.take(b'0') {
            if self.peek().is_some_and(|b| b.is_ascii_digit()) {
                return Err(self.error(Kind::BadNumber));
            }
        } else {
            self.digits()?;
        }
        let mut exact = true;
        if self.take(b'.') {
            exact = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            exact = false;
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        let range = JsonError { at: start, kind: Kind::NumberRange };
        // `-0` is a float: as an integer it would lose its sign.
        if exact && text != "-0" {
            return if negative {
                text.parse().map(Value::Int).map_err(|_| range)
            } else {
                text.parse::<u64>().map(Value::from).map_err(|_| range)
            };
        }
        match text.parse::<f64>() {
            Ok(float) if float.is_finite() => Ok(Value::Float(float)),
            _ => Err(range),
        }
    }
}
