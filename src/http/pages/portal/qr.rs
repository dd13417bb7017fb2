//! QR codes as SVG: one path of runs, small enough to stand in a page.

use fast_qr::{ECL, QRBuilder};
use std::fmt::Write;

/// Blank modules around the code, as the standard asks for.
const MARGIN: usize = 4;

/// The code of an address; `None` for one that is too long.
pub fn svg(text: &str) -> Option<String> {
    let code = QRBuilder::new(text).ecl(ECL::M).build().ok()?;
    let side = code.size + 2 * MARGIN;
    let mut path = String::new();
    for row in 0..code.size {
        let mut column = 0;
        while column < code.size {
            let run = (column..code.size).take_while(|place| code[row][*place].value()).count();
            if run > 0 {
                // Writing to a String can't fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", column + MARGIN, row + MARGIN);
            }
            column += run.max(1);
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\" role=\"img\" \
         aria-label=\"QR code of your link\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path fill=\"#000\" d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_three_corners() {
        let svg = svg("https://go.example.com/r/abc").expect("a short address");
        assert!(svg.starts_with("<svg ") && svg.len() < 8_000, "{}", svg.len());
        // The upper edge of the first corner: seven dark modules.
        assert!(svg.contains("M4 4h7v1h-7z"), "{svg}");
        assert_eq!(super::svg(&"x".repeat(5_000)), None);
    }
}
