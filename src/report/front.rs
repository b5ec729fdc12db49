//! Which of several choices nothing beats.

/// Whether no other choice has at least as much of both, and more of one. What is no number is on no
/// front, and beats nothing.
pub fn is_on(choices: &[(f64, f64)]) -> Vec<bool> {
    let beats = |(a, b): (f64, f64), (x, y): (f64, f64)| a >= x && b >= y && (a > x || b > y);
    let is_on = |&own: &(f64, f64)| {
        let is_known = !own.0.is_nan() && !own.1.is_nan();
        is_known && !choices.iter().any(|&other| beats(other, own))
    };
    choices.iter().map(is_on).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_equals_in_one_and_beats_in_the_other_is_behind_the_front() {
        let choices =
            [(16.0, 10.0), (8.5, 20.0), (8.0, 20.0), (4.5, 40.0), (5.0, 30.0), (6.0, 15.0)];
        assert_eq!(is_on(&choices), [true, true, false, true, true, false]);
    }

    #[test]
    fn equals_stand_on_it_together_and_what_is_unknown_does_not() {
        assert_eq!(
            is_on(&[(8.0, 1.0), (8.0, 1.0), (f64::NAN, 9.0), (9.0, f64::NAN)]),
            [true, true, false, false]
        );
        assert!(is_on(&[]).is_empty());
    }
}
