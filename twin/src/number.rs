//! Numbers by what they are worth: whole ones and fractions in one order, without rounding one to the other.

use core::cmp::Ordering;

/// A number of a document or an expression.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// Every integer that fits 64 bits, with sign or without.
    Whole(i128),
    /// With a fraction or an exponent.
    Double(f64),
}

impl Number {
    /// Which is less; `None` if one of them is not a number.
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(&b),
            (Self::Whole(a), Self::Double(b)) => mixed(a, b),
            (Self::Double(a), Self::Whole(b)) => mixed(b, a).map(Ordering::reverse),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the whole part of a double in these bounds fits, and is a double again"
)]
fn mixed(whole: i128, double: f64) -> Option<Ordering> {
    /// Twice beyond any integer here, and exact as a double.
    const BOUND: f64 = 36_893_488_147_419_103_232.0;
    if double.is_nan() {
        return None;
    }
    if double >= BOUND {
        return Some(Ordering::Less);
    }
    if double <= -BOUND {
        return Some(Ordering::Greater);
    }
    let towards_zero = double as i128;
    let by_whole = whole.cmp(&towards_zero);
    Some(by_whole.then_with(|| (towards_zero as f64).total_cmp(&(double + 0.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_and_fractions_are_in_one_order() {
        use Number::{Double, Whole};
        let sorted = [
            Double(f64::NEG_INFINITY),
            Double(-1e30),
            Whole(i64::MIN.into()),
            Double(-2.5),
            Whole(-2),
            Double(-0.5),
            Whole(0),
            Double(0.5),
            Whole(1),
            Double(1.5),
            Double(9_007_199_254_740_992.0),
            Whole(9_007_199_254_740_993),
            Whole(u64::MAX.into()),
            Double(18_446_744_073_709_551_616.0),
            Double(f64::INFINITY),
        ];
        for (n, a) in sorted.iter().enumerate() {
            for (m, b) in sorted.iter().enumerate() {
                assert_eq!(a.compare(*b), Some(n.cmp(&m)), "{a:?} {b:?}");
            }
        }
        for zero in [0.0, -0.0] {
            assert_eq!(Whole(0).compare(Double(zero)), Some(Ordering::Equal));
        }
        assert_eq!(Whole(7).compare(Double(7.0)), Some(Ordering::Equal));
        assert_eq!(Whole(0).compare(Double(f64::NAN)), None);
    }
}
