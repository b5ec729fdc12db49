//! Where names of points stand: beside them, each in a free place, joined to its point by a thin
//! line where that place is not next to it; or in a row above all of them. No name ever covers a
//! point, a line or another name.

/// A box in pixels: left, top, right, bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect(pub f64, pub f64, pub f64, pub f64);

impl Rect {
    /// The box of half-width `w` and half-height `h` around a place.
    pub fn around((x, y): (f64, f64), w: f64, h: f64) -> Rect {
        Rect(x - w, y - h, x + w, y + h)
    }

    /// Whether they share any place.
    pub fn overlaps(&self, other: &Rect) -> bool {
        self.0 < other.2 && other.0 < self.2 && self.1 < other.3 && other.1 < self.3
    }

    fn within(&self, room: &Rect) -> bool {
        room.0 <= self.0 && room.1 <= self.1 && self.2 <= room.2 && self.3 <= room.3
    }

    fn nearest(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (x.clamp(self.0, self.2), y.clamp(self.1, self.3))
    }

    /// Whether a line goes through; one that only touches the edge does not.
    fn crossed_by(&self, (a, b): Line) -> bool {
        // Clipping of the line against the four sides (Liang and Barsky 1984).
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let (mut from, mut to) = (0.0f64, 1.0f64);
        for (d, room) in
            [(-dx, a.0 - self.0), (dx, self.2 - a.0), (-dy, a.1 - self.1), (dy, self.3 - a.1)]
        {
            if d == 0.0 {
                if room <= 0.0 {
                    return false;
                }
            } else if d < 0.0 {
                from = from.max(room / d);
            } else {
                to = to.min(room / d);
            }
        }
        from < to
    }
}

type Line = ((f64, f64), (f64, f64));

/// A name's place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The box of the name.
    pub rect: Rect,
    /// The line that joins it to its point, where it does not stand next to it.
    pub leader: Option<((f64, f64), (f64, f64))>,
}

/// A name that looks for a place.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// Its point.
    pub at: (f64, f64),
    /// Its width in pixels.
    pub width: f64,
    /// Its height in pixels.
    pub height: f64,
}

/// What is free and what is taken.
#[derive(Clone)]
pub struct Labels {
    room: Rect,
    taken: Vec<Rect>,
    leaders: Vec<Line>,
}

/// Directions in which a place is looked for, the best first: a name is read best at the right of
/// its point.
const DIRECTIONS: [(f64, f64); 12] = [
    (1.0, 0.0),
    (1.0, -1.0),
    (-1.0, -1.0),
    (-1.0, 0.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (1.0, 1.0),
    (-1.0, 1.0),
    (1.0, -0.5),
    (-1.0, -0.5),
    (1.0, 0.5),
    (-1.0, 0.5),
];

/// Distances from the point, the nearest first. From the second on there is a joining line.
const DISTANCES: [f64; 14] =
    [8.0, 14.0, 20.0, 27.0, 35.0, 44.0, 54.0, 65.0, 78.0, 92.0, 110.0, 130.0, 155.0, 190.0];

/// Half the size of a point with some air.
pub const POINT: f64 = 6.5;

impl Labels {
    /// Nothing is taken within `room`.
    pub fn new(room: Rect) -> Labels {
        Labels { room, taken: Vec::new(), leaders: Vec::new() }
    }

    /// Keeps names away from here.
    pub fn take(&mut self, rect: Rect) {
        self.taken.push(rect);
    }

    /// Keeps names away from this line.
    pub fn keep_off(&mut self, line: ((f64, f64), (f64, f64))) {
        self.leaders.push(line);
    }

    /// A place for each name; `None` where none is free. Who comes first takes room from the
    /// others, so several orders are tried, and that is kept which leaves out the fewest names
    /// and then has the shortest lines.
    pub fn place_all(&self, names: &[Name]) -> Vec<Option<Place>> {
        let n = names.len();
        let mut orders: Vec<Vec<usize>> = Vec::new();
        for by in [|name: &Name| name.at.0, |name: &Name| name.at.1] {
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&a, &b| by(&names[a]).total_cmp(&by(&names[b])));
            for _ in 0..n.min(16) {
                order.rotate_left(1);
                orders.push(order.clone());
                orders.push(order.iter().rev().copied().collect());
            }
        }
        let tried = orders.into_iter().map(|order| self.place_in(names, &order));
        let cost = |places: &Vec<Option<Place>>| -> f64 {
            places.iter().map(|p| p.map_or(1e6, |p| p.leader.map_or(0.0, length))).sum()
        };
        tried.min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or_default()
    }

    fn place_in(&self, names: &[Name], order: &[usize]) -> Vec<Option<Place>> {
        let mut labels = self.clone();
        let mut places = vec![None; names.len()];
        for &i in order {
            places[i] = labels.place(names[i]);
        }
        places
    }

    fn place(&mut self, Name { at, width, height }: Name) -> Option<Place> {
        let places = DISTANCES.iter().flat_map(|d| DIRECTIONS.iter().map(move |dir| (d, dir)));
        let place = places
            .map(|(&distance, &direction)| place(at, (width, height), distance, direction))
            .find(|place| self.is_free(place, at))?;
        self.taken.push(place.rect);
        self.leaders.extend(place.leader);
        Some(place)
    }

    fn is_free(&self, place: &Place, at: (f64, f64)) -> bool {
        let own = |rect: &&Rect| rect.0 < at.0 && at.0 < rect.2 && rect.1 < at.1 && at.1 < rect.3;
        let crosses =
            |line: Line| self.taken.iter().filter(|r| !own(r)).any(|r| r.crossed_by(line));
        place.rect.within(&self.room)
            && !self.taken.iter().any(|r| r.overlaps(&place.rect))
            && !self.leaders.iter().any(|line| place.rect.crossed_by(*line))
            && !place.leader.is_some_and(|line| {
                crosses(line) || self.leaders.iter().any(|other| meet(line, *other))
            })
    }
}

fn place(at: (f64, f64), (w, h): (f64, f64), distance: f64, (dx, dy): (f64, f64)) -> Place {
    let slant = if dx != 0.0 && dy != 0.0 { 0.75 } else { 1.0 };
    let centre =
        (at.0 + dx * (slant * distance + w / 2.0), at.1 + dy * (slant * distance + h / 2.0));
    let rect = Rect::around(centre, w / 2.0, h / 2.0);
    let leader = (distance > DISTANCES[0]).then(|| (at, rect.nearest(at)));
    Place { rect, leader }
}

fn length((a, b): Line) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// Middles of names in a row: as near to `wanted`, which ascend, as names of these `widths` can be
/// without touching, from `from` to `to` where they fit.
pub fn in_a_row(wanted: &[f64], widths: &[f64], (from, to): (f64, f64)) -> Vec<f64> {
    // Neighbours that would touch become a block, which stands where its names want to on average
    // (isotonic regression by pooling): name, sum of where its first name wants to be, width.
    let mut blocks: Vec<(usize, f64, f64)> = Vec::new();
    let start = |&(n, sum, width): &(usize, f64, f64)| (sum / n as f64).min(to - width).max(from);
    for (&x, &width) in wanted.iter().zip(widths) {
        let mut block = (1, x - width / 2.0, width);
        while let Some(before) = blocks.pop_if(|b| start(b) + b.2 > start(&block)) {
            let moved = block.1 - block.0 as f64 * before.2;
            block = (before.0 + block.0, before.1 + moved, before.2 + block.2);
        }
        blocks.push(block);
    }
    let mut middles = Vec::with_capacity(widths.len());
    for block in &blocks {
        let mut x = start(block);
        for width in widths.iter().skip(middles.len()).take(block.0).copied().collect::<Vec<_>>() {
            middles.push(x + width / 2.0);
            x += width;
        }
    }
    middles
}

/// Whether two lines cross.
fn meet((a, b): Line, (c, d): Line) -> bool {
    let side = |p: (f64, f64), q: (f64, f64), r: (f64, f64)| {
        (q.0 - p.0) * (r.1 - p.1) - (q.1 - p.1) * (r.0 - p.0)
    };
    side(a, b, c) * side(a, b, d) < 0.0 && side(c, d, a) * side(c, d, b) < 0.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: Rect = Rect(0.0, 0.0, 400.0, 260.0);

    fn name(x: f64, y: f64) -> Name {
        Name { at: (x, y), width: 70.0, height: 13.0 }
    }

    #[test]
    fn a_name_stands_at_the_right_of_its_point_where_there_is_room() {
        let places = Labels::new(ROOM).place_all(&[name(100.0, 100.0), name(395.0, 200.0)]);
        let right = Rect(108.0, 93.5, 178.0, 106.5);
        assert_eq!(places[0], Some(Place { rect: right, leader: None }));
        assert!(places[1].unwrap().rect.2 <= 395.0);
        assert!(Labels::new(ROOM).place_all(&[]).is_empty());
    }

    #[test]
    fn a_row_moves_names_no_more_than_it_must() {
        assert_eq!(in_a_row(&[50.0, 200.0], &[40.0, 40.0], (0.0, 300.0)), [50.0, 200.0]);
        assert_eq!(in_a_row(&[100.0, 100.0], &[40.0, 40.0], (0.0, 300.0)), [80.0, 120.0]);
        assert_eq!(in_a_row(&[5.0, 290.0], &[40.0, 60.0], (0.0, 300.0)), [20.0, 270.0]);
        assert!(in_a_row(&[], &[], (0.0, 1.0)).is_empty());
    }

    #[test]
    fn a_line_crosses_a_box_only_where_it_goes_through() {
        let rect = Rect(10.0, 10.0, 20.0, 20.0);
        assert!(rect.crossed_by(((0.0, 0.0), (30.0, 30.0))));
        assert!(rect.crossed_by(((15.0, 0.0), (15.0, 12.0))));
        assert!(!rect.crossed_by(((0.0, 0.0), (9.0, 9.0))));
        assert!(!rect.crossed_by(((0.0, 25.0), (30.0, 25.0))));
        assert!(!rect.crossed_by(((10.0, 0.0), (10.0, 30.0))));
    }

    proptest! {
        #[test]
        fn no_name_covers_a_point_or_a_name_or_leaves_the_room(
            points in prop::collection::vec((0.0..400.0, 0.0..260.0), 1..16),
        ) {
            let mut labels = Labels::new(ROOM);
            for &at in &points {
                labels.take(Rect::around(at, POINT, POINT));
            }
            let names: Vec<Name> = points.iter().map(|&(x, y)| name(x, y)).collect();
            let places: Vec<Place> = labels.place_all(&names).into_iter().flatten().collect();
            for (i, place) in places.iter().enumerate() {
                prop_assert!(place.rect.within(&ROOM));
                prop_assert!(!places[..i].iter().any(|other| other.rect.overlaps(&place.rect)));
                let covered = |at: &(f64, f64)| place.rect.overlaps(&Rect::around(*at, 1.0, 1.0));
                prop_assert!(!points.iter().any(covered));
            }
        }

        #[test]
        fn names_in_a_row_keep_their_order_and_do_not_touch(
            mut wanted in prop::collection::vec(0.0..400.0, 1..12),
        ) {
            wanted.sort_by(f64::total_cmp);
            let middles = in_a_row(&wanted, &vec![30.0; wanted.len()], (0.0, 400.0));
            prop_assert_eq!(middles.len(), wanted.len());
            prop_assert!(middles.windows(2).all(|two| two[1] - two[0] > 29.999));
            prop_assert!(middles[0] >= 14.999 && middles[middles.len() - 1] <= 385.001);
        }
    }
}
