//! A plotters backend on an RGB picture, with the bitmap font for text.

use std::convert::Infallible;

use image::RgbImage;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind};

use super::text;

/// Draws into a picture in memory; nothing in it can fail.
pub struct Canvas<'a>(pub &'a mut RgbImage);

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Canvas<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.0.dimensions()
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        let place = u32::try_from(x).ok().zip(u32::try_from(y).ok());
        if let Some(pixel) = place.and_then(|(x, y)| self.0.get_pixel_mut_checked(x, y)) {
            let (red, green, blue) = color.rgb;
            for (channel, new) in pixel.0.iter_mut().zip([red, green, blue]) {
                let mixed = f64::from(*channel) * (1.0 - color.alpha) + f64::from(new) * color.alpha;
                *channel = mixed.round() as u8;
            }
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, words: &str, style: &S, (left, top): BackendCoord) -> Drawn {
        let scale = scale(style);
        let (width, height) = self.estimate_text_size(words, style)?;
        let (width, height) = (width as i32, height as i32);
        let anchor = style.anchor();
        let dx = match anchor.h_pos {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let dy = match anchor.v_pos {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        let (turn, color) = (style.transform(), style.color());
        let mut drawn = Ok(());
        text::draw(words, scale, |x, y| {
            let (x, y) = turn.transform(x as i32 + dx, y as i32 + dy);
            if drawn.is_ok() {
                drawn = self.draw_pixel((left + x, top + y), color);
            }
        });
        drawn
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        words: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let scale = scale(style);
        Ok((text::width(words, scale), text::LETTER * scale))
    }
}

/// The whole multiple of the font that is nearest to the size asked for.
fn scale(style: &impl BackendTextStyle) -> u32 {
    ((style.size() / f64::from(text::LETTER)).round() as u32).max(1)
}
