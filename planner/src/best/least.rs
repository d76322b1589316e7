//! Where the sum of several rows is least. Asked at most proposals, so it is laid out for the compiler to look at several
//! places at once.

/// The place at which the sum of the rows, which are equally long, is least and finite.
#[inline]
pub(super) fn least_sum_at<const ROWS: usize>(rows: [&[f32]; ROWS]) -> Option<usize> {
    let len = rows[0].len();
    let (mut least, mut start) = (f32::INFINITY, len);
    for block in (0..len).step_by(BLOCK) {
        let end = (block + BLOCK).min(len);
        let sum = least_sum(rows.map(|row| &row[block..end]));
        if sum < least {
            (least, start) = (sum, block);
        }
    }
    (start..len).find(|&at| rows.iter().map(|row| row[at]).sum::<f32>() == least)
}

#[inline]
fn least_sum<const ROWS: usize>(rows: [&[f32]; ROWS]) -> f32 {
    let chunked = rows.map(|row| row.as_chunks::<LANES>());
    let mut lanes = [f32::INFINITY; LANES];
    for at in 0..chunked[0].0.len() {
        let mut sums = [0.0; LANES];
        for (chunks, _) in &chunked {
            for lane in 0..LANES {
                sums[lane] += chunks[at][lane];
            }
        }
        for lane in 0..LANES {
            lanes[lane] = if sums[lane] < lanes[lane] { sums[lane] } else { lanes[lane] };
        }
    }
    let rest = (0..chunked[0].1.len()).map(|at| chunked.iter().map(|(_, rest)| rest[at]).sum::<f32>());
    rest.chain(lanes).fold(f32::INFINITY, |least, sum| if sum < least { sum } else { least })
}

/// Places among which the least is sought one by one, once it is known to be one of them.
const BLOCK: usize = 64;
/// Places looked at together.
const LANES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_least_sum_at_any_length() {
        for len in 0..200_usize {
            let a: Vec<f32> = (0..len).map(|at| ((at * 37) % 101) as f32).collect();
            let b: Vec<f32> = (0..len).map(|at| if at % 3 == 0 { f32::INFINITY } else { 1.0 }).collect();
            let finite = (0..len).filter(|&at| b[at].is_finite());
            let expected = finite.min_by(|&x, &y| a[x].total_cmp(&a[y]));
            assert_eq!(least_sum_at([&a, &b]), expected, "{len}");
        }
    }
}
