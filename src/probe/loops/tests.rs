use super::*;

fn words(n: usize) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        })
        .collect()
}

#[test]
fn every_reader_reads_every_word_once_a_pass() {
    let all = words(700);
    let loops = Loops::detect();
    for n in (0..300).chain([511, 512, 513, 640, 699]) {
        // An odd start: no load may rely on its alignment.
        for first in [0, 1] {
            let words = &all[first..first + n];
            let once = words.iter().fold(0u64, |sum, word| sum.wrapping_add(*word));
            for passes in [0, 1, 3] {
                for reader in &loops.readers {
                    let expected = once.wrapping_mul(passes);
                    assert_eq!(reader.sum(words, passes), expected, "{} {n} {passes}", reader.set);
                }
            }
        }
    }
}

#[test]
fn every_product_is_made_as_often_as_it_is_counted() {
    for product in &Loops::detect().products {
        for rounds in [0, 1, 2, 7, 100] {
            for (a, b) in [(1, 1), (3, -2), (0, 5), (5, 7)] {
                let expected = (rounds * product.per_round) as f64 * f64::from(a) * f64::from(b);
                let found = product.run(a, b, rounds);
                assert_eq!(found, expected, "{} {a} {b} {rounds}", product.instructions);
            }
        }
    }
}

#[test]
fn plain_loops_are_always_there_and_come_last() {
    let loops = Loops::detect();
    assert_eq!(loops.readers.last().map(|reader| reader.set), Some("plain"));
    for number in [Number::Int8, Number::F32] {
        let of_kind = loops.products.iter().rfind(|product| product.number == number);
        assert_eq!(of_kind.map(|product| product.instructions), Some("plain"));
        assert!(loops.rivals(number, Unit::Vectors).next().is_some());
    }
}

#[test]
fn whatever_tiles_multiply_vectors_multiply_too_and_the_widest_set_of_a_unit_comes_first() {
    let loops = Loops::detect();
    for number in Number::ALL {
        let [tiles, vectors] = Unit::ALL.map(|unit| loops.rivals(number, unit).next());
        assert!(tiles.is_none() || vectors.is_some(), "{}", number.name());
        for first in [tiles, vectors].into_iter().flatten() {
            let of_unit = loops
                .products
                .iter()
                .filter(|product| (product.number, product.unit) == (first.number, first.unit));
            let most = of_unit.map(|product| product.per_round).max();
            assert_eq!(most, Some(first.per_round), "{}", first.instructions);
        }
    }
}
