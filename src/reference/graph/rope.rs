//! Rotary positions: pairs of a head's elements turned by angles that grow with the position.

/// Which elements form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// `2i` and `2i + 1` (`llama`, whose converter permutes the weights to suit).
    Neighbours,
    /// `i` and `i + head_dim / 2` (`qwen2`).
    Halves,
}

/// The angles of one position: `head_dim / 2` pairs of cosine and sine.
///
/// The angle of pair `i` is `position · base^(−2i / head_dim) / factor[i]`, its power built up by
/// multiplication in single precision as llama.cpp builds it: at large positions the rounding of
/// the angle is a visible part of the result.
pub fn angles(position: usize, base: f32, factors: Option<&[f32]>, out: &mut [f32]) {
    let step = base.powf(-2.0 / out.len() as f32);
    let mut theta = position as f32;
    for (i, pair) in out.chunks_exact_mut(2).enumerate() {
        let angle = theta / factors.map_or(1.0, |f| f[i]);
        (pair[0], pair[1]) = (angle.cos(), angle.sin());
        theta *= step;
    }
}

/// Turns the pairs of `head` by `angles`.
pub fn rotate(pairing: Pairing, head: &[f32], angles: &[f32], out: &mut [f32]) {
    let half = head.len() / 2;
    let turn =
        |a: f32, b: f32, angle: &[f32]| (a * angle[0] - b * angle[1], a * angle[1] + b * angle[0]);
    match pairing {
        Pairing::Neighbours => {
            let pairs = head.chunks_exact(2).zip(out.chunks_exact_mut(2));
            for ((x, y), angle) in pairs.zip(angles.chunks_exact(2)) {
                (y[0], y[1]) = turn(x[0], x[1], angle);
            }
        }
        Pairing::Halves => {
            let (x0, x1) = head.split_at(half);
            let (y0, y1) = out.split_at_mut(half);
            for (i, angle) in angles.chunks_exact(2).enumerate().take(half) {
                (y0[i], y1[i]) = turn(x0[i], x1[i], angle);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_keeps_lengths_and_depends_on_the_distance_only() {
        let (q, k) = ([0.5, -1.0, 2.0, 0.25, 1.5, -0.75], [1.0, 0.5, -0.5, 2.0, 0.125, 1.0]);
        for pairing in [Pairing::Neighbours, Pairing::Halves] {
            let at = |x: &[f32], position| {
                let (mut turns, mut y) = ([0.0; 6], [0.0; 6]);
                angles(position, 10_000.0, None, &mut turns);
                rotate(pairing, x, &turns, &mut y);
                y
            };
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            assert_eq!(at(&q, 0), q);
            let (near, far) = (dot(&at(&q, 9), &at(&k, 4)), dot(&at(&q, 105), &at(&k, 100)));
            assert!((near - far).abs() < 1e-4, "{pairing:?}: {near} {far}");
            assert!((dot(&at(&q, 7), &at(&q, 7)) - dot(&q, &q)).abs() < 1e-5);
        }
    }

    #[test]
    fn factors_slow_a_pair_down() {
        let (mut plain, mut slowed) = ([0.0; 4], [0.0; 4]);
        angles(4, 10_000.0, None, &mut plain);
        angles(8, 10_000.0, Some(&[2.0, 1.0]), &mut slowed);
        assert_eq!(plain[..2], slowed[..2]);
        assert_ne!(plain[2..], slowed[2..]);
    }
}
