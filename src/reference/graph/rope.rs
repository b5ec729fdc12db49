//! Rotary positions: pairs of a head's elements turned by angles that grow with the position.

/// Which elements form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// `2i` and `2i + 1` (`llama`, whose converter permutes the weights to suit).
    Neighbours,
    /// `i` and `i + n_rot / 2` (`qwen2`).
    Halves,
}

/// How angles grow with the position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frequencies {
    /// Base of the geometric row of frequencies.
    pub base: f32,
    /// What positions are multiplied with: below 1 where they are scaled linearly.
    pub scale: f32,
    /// What rotated elements are multiplied with.
    pub size: f32,
}

impl Frequencies {
    /// The angles of one position: `n_rot / 2` pairs of cosine and sine, times `size`.
    ///
    /// The angle of pair `i` is `position · scale · base^(−2i / n_rot) / factor[i]`, its power built
    /// up by multiplication in single precision as llama.cpp builds it: at large positions the
    /// rounding of the angle is a visible part of the result.
    pub fn angles(&self, position: usize, factors: Option<&[f32]>, out: &mut [f32]) {
        let step = self.base.powf(-2.0 / out.len() as f32);
        let mut theta = position as f32;
        for (i, pair) in out.chunks_exact_mut(2).enumerate() {
            let angle = self.scale * (theta / factors.map_or(1.0, |f| f[i]));
            (pair[0], pair[1]) = (angle.cos() * self.size, angle.sin() * self.size);
            theta *= step;
        }
    }
}

/// Turns the pairs of `x` by `angles`.
pub fn rotate(pairing: Pairing, x: &mut [f32], angles: &[f32]) {
    let turn =
        |a: f32, b: f32, angle: &[f32]| (a * angle[0] - b * angle[1], a * angle[1] + b * angle[0]);
    match pairing {
        Pairing::Neighbours => {
            for (x, angle) in x.chunks_exact_mut(2).zip(angles.chunks_exact(2)) {
                (x[0], x[1]) = turn(x[0], x[1], angle);
            }
        }
        Pairing::Halves => {
            let (a, b) = x.split_at_mut(x.len() / 2);
            for ((a, b), angle) in a.iter_mut().zip(b).zip(angles.chunks_exact(2)) {
                (*a, *b) = turn(*a, *b, angle);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Frequencies = Frequencies { base: 10_000.0, scale: 1.0, size: 1.0 };

    #[test]
    fn a_rotation_keeps_lengths_and_depends_on_the_distance_only() {
        let (q, k) = ([0.5, -1.0, 2.0, 0.25, 1.5, -0.75], [1.0, 0.5, -0.5, 2.0, 0.125, 1.0]);
        for pairing in [Pairing::Neighbours, Pairing::Halves] {
            let at = |x: &[f32], position| {
                let (mut turns, mut y) = ([0.0; 6], [0.0; 6]);
                PLAIN.angles(position, None, &mut turns);
                y.copy_from_slice(x);
                rotate(pairing, &mut y, &turns);
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
        PLAIN.angles(4, None, &mut plain);
        PLAIN.angles(8, Some(&[2.0, 1.0]), &mut slowed);
        assert_eq!(plain[..2], slowed[..2]);
        assert_ne!(plain[2..], slowed[2..]);
    }

    #[test]
    fn a_linear_scale_divides_the_position_and_a_size_stretches_the_turned() {
        let (mut plain, mut scaled) = ([0.0; 4], [0.0; 4]);
        PLAIN.angles(3, None, &mut plain);
        Frequencies { scale: 0.25, size: 2.0, ..PLAIN }.angles(12, None, &mut scaled);
        assert_eq!(plain.map(|v| 2.0 * v), scaled);
    }
}
