//! Pictures of a report, as SVG.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::report::{Contest, Curve, Report};

/// Width and height.
const SIZE: (u32, u32) = (760, 420);
/// Colours that the colour-blind tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(170, 80, 140),
    RGBColor(230, 159, 0),
];
const GRID: RGBColor = RGBColor(225, 225, 225);
const FONT: &str = "sans-serif";

type Drawn = Result<(), Box<dyn Error>>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The pictures: the name of each file, and what is in it. A picture without points is left out.
pub fn pictures(report: &Report) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut made = Vec::new();
    let drawn = |name: &str, draw: &dyn Fn(&DrawingArea<SVGBackend<'_>, Shift>) -> Drawn| {
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
            area.fill(&WHITE)?;
            draw(&area)?;
            area.present()?;
        }
        // The library ends lines as it likes; a file of ours ends with one.
        Ok::<_, Box<dyn Error>>((format!("{name}.svg"), format!("{}\n", text.trim_end())))
    };
    for (picture, what) in
        [("enroll-by-clients", "Durable enrollments"), ("heartbeat-by-clients", "Heartbeats")]
    {
        let curves: Vec<&Curve> = report.by_clients.iter().filter(|curve| curve.picture == picture).collect();
        if !curves.is_empty() {
            let title = format!("{what} a second, by clients that call at once");
            made.push(drawn(picture, &|area| lines(area, &title, ["clients", "calls a second"], &curves))?);
        }
    }
    if !report.by_rows.is_empty() {
        let curves: Vec<&Curve> = report.by_rows.iter().collect();
        let title = "Time of a call, by sensors (and as many tokens) in the database";
        let axes = ["sensors", "median, milliseconds"];
        made.push(drawn("time-by-rows", &|area| lines(area, title, axes, &curves))?);
    }
    if !report.contests.is_empty() {
        made.push(drawn("share-of-the-ceiling", &|area| shares(area, &report.contests))?);
    }
    Ok(made)
}

/// Lines over evenly spaced places, one for each x of the first curve.
fn lines(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    axes: [&str; 2],
    curves: &[&Curve],
) -> Drawn {
    let places: Vec<u64> =
        curves.first().map(|curve| curve.points.iter().map(|point| point.x).collect()).unwrap_or_default();
    let values = curves.iter().flat_map(|curve| &curve.points).flat_map(|point| &point.all);
    let highest = values.copied().fold(0.0, f64::max);
    let last = places.len().saturating_sub(1) as f64;
    let labels: Vec<String> = places.iter().map(|place| short(*place)).collect();
    let y = 0.0..round_up(highest * 1.05);
    let mut chart = framed(area, title, (-0.15..last + 0.15, y), &labels, (Some(axes[0]), axes[1]))?;
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let points = curve.points.iter().enumerate().map(|(at, point)| (at as f64, point.y));
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        chart.draw_series(points.map(|point| Circle::new(point, 3, colour.filled())))?;
        // How far the rounds lie apart.
        let spans = curve.points.iter().enumerate().map(|(at, point)| {
            let (low, high) =
                point.all.iter().fold((point.y, point.y), |(low, high), y| (low.min(*y), high.max(*y)));
            PathElement::new([(at as f64, low), (at as f64, high)], colour.mix(0.5))
        });
        chart.draw_series(spans)?;
    }
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

/// One bar for each contest: what a second of a core does, as a share of the ceiling; and the goal.
fn shares(area: &DrawingArea<SVGBackend<'_>, Shift>, contests: &[Contest]) -> Drawn {
    let shares: Vec<f64> =
        contests.iter().map(|contest| contest.ratio(|pace| pace.per_core_second) * 100.0).collect();
    let count = contests.len() as f64;
    let title = "Calls in a second of a core: share of the ceiling";
    let labels: Vec<String> = contests.iter().map(|contest| contest.work.clone()).collect();
    let ranges = (-0.5..count - 0.5, 0.0..100.0);
    let mut chart = framed(area, title, ranges, &labels, (None, "percent"))?;
    let mut engines: Vec<&str> = contests.iter().map(|contest| contest.engine.as_str()).collect();
    engines.dedup();
    for (engine, colour) in engines.iter().zip([COLOURS[0], COLOURS[2]]) {
        let all = contests.iter().zip(&shares).enumerate();
        let own = all.filter(|(_, (contest, _))| contest.engine == *engine);
        let bar = |(at, (_, share)): (usize, (&Contest, &f64))| {
            Rectangle::new([(at as f64 - 0.3, 0.0), (at as f64 + 0.3, *share)], colour.mix(0.8).filled())
        };
        chart
            .draw_series(own.map(bar))?
            .label(*engine)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 20, y + 5)], colour.mix(0.8).filled()));
    }
    let places = || shares.iter().enumerate().map(|(at, share)| (at as f64, *share));
    // At the foot of its bar, where no goal's line crosses it.
    let style = (FONT, 15).into_font().color(&WHITE);
    let number = |(at, share)| Text::new(format!("{share:.0} %"), (at - 0.13, 7.0), style.clone());
    chart.draw_series(places().map(number))?;
    let goals =
        contests.iter().enumerate().filter_map(|(at, contest)| Some((at as f64, contest.goal? * 100.0)));
    let stroke = COLOURS[1].stroke_width(2);
    chart
        .draw_series(goals.map(|(at, goal)| PathElement::new([(at - 0.4, goal), (at + 0.4, goal)], stroke)))?
        .label("goal")
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], stroke));
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}

/// A chart with its title, its axes, and a label at each whole number from zero on.
fn framed<'a, 'b>(
    area: &'a DrawingArea<SVGBackend<'b>, Shift>,
    title: &str,
    (x, y): (Range<f64>, Range<f64>),
    labels: &[String],
    axes: (Option<&str>, &str),
) -> Result<Chart<'a, 'b>, Box<dyn Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .margin_right(28)
        .caption(title, (FONT, 18))
        .x_label_area_size(46)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    let label = |at: &f64| {
        let whole = (at - at.round()).abs() < 0.01 && *at > -0.4;
        whole.then(|| labels.get(at.round().max(0.0) as usize)).flatten().cloned().unwrap_or_default()
    };
    let number = |y: &f64| plain(*y);
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .x_labels(labels.len() * 4)
        .x_label_formatter(&label)
        .y_label_formatter(&number)
        .set_tick_mark_size(LabelAreaPosition::Bottom, 0)
        .y_desc(axes.1)
        .label_style((FONT, 14))
        .axis_desc_style((FONT, 14));
    if let Some(name) = axes.0 {
        mesh.x_desc(name);
    }
    mesh.draw()?;
    Ok(chart)
}

/// The names of what was drawn.
fn legend<'b: 'a, 'a>(chart: &mut Chart<'a, 'b>, at: SeriesLabelPosition) -> Drawn {
    chart
        .configure_series_labels()
        .position(at)
        .margin(10)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .label_font((FONT, 14))
        .draw()?;
    Ok(())
}

/// The next number that an axis may end with.
fn round_up(value: f64) -> f64 {
    let step = 10f64.powf(value.max(1e-9).log10().floor()) / 2.0;
    (value / step).ceil() * step
}

/// A number without a fraction that is none.
fn plain(number: f64) -> String {
    if (number - number.round()).abs() < 1e-6 { format!("{number:.0}") } else { format!("{number:.1}") }
}

/// A number as people say it.
fn short(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{} thousand", number / 1_000),
        _ => format!("{} million", number / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Point;

    #[test]
    fn axes_end_where_people_count() {
        assert_eq!([1234.0, 12.0, 10.0].map(round_up), [1500.0, 15.0, 10.0]);
        assert_eq!(
            (short(0), short(10_000), short(1_000_000)),
            ("0".into(), "10 thousand".into(), "1 million".into())
        );
    }

    #[test]
    fn a_picture_shows_every_line_and_every_place() {
        let points = |y: f64| [1u64, 8].map(|x| Point { x, y, all: vec![y, y * 1.1] }).to_vec();
        let curve =
            |name: &str, y| Curve { name: name.to_owned(), picture: "p".to_owned(), points: points(y) };
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
            lines(&area, "a title", ["clients", "calls"], &[&curve("one", 10.0), &curve("two", 20.0)])
                .unwrap();
        }
        for word in ["a title", "clients", "calls", "one", "two", "\n8\n", "\n1\n"] {
            assert!(text.contains(word), "{word} is not in the picture");
        }
    }
}
