//! A page of pictures with what was found in them, as one HTML file that needs no network.

use std::fmt::Write;

/// A picture on the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Exhibit {
    /// File of the drawn picture, relative to the page.
    pub file: String,
    /// Sides of the original picture, in which proportion it is shown.
    pub size: (u32, u32),
    /// What the picture is called.
    pub name: String,
    /// Lines below the picture: a term and what there is to say.
    pub facts: Vec<(&'static str, String)>,
}

/// Exhibits below a heading.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The heading.
    pub heading: String,
    /// The exhibits, in order.
    pub exhibits: Vec<Exhibit>,
}

const STYLE: &str = "\
body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#222;background:#fff}
section{display:grid;grid-template-columns:repeat(auto-fill,minmax(13em,1fr));gap:1.5em 1em}
figure{margin:0}
img{width:100%;height:auto;display:block;background:#ddd}
figcaption{font-size:.85em;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 .6em;margin:.2em 0}
dt{color:#666}dd{margin:0}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}dt{color:#999}}
";

/// The page. All text is escaped: names of files and classes may hold anything.
pub fn page(title: &str, introduction: &str, sections: &[Section]) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width\"/>\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{introduction}</p>\n",
        title = escape(title),
        introduction = escape(introduction),
    );
    for section in sections {
        write_section(&mut html, section);
    }
    html.push_str("</body>\n</html>\n");
    html
}

fn write_section(html: &mut String, section: &Section) {
    // Writing into a string cannot fail.
    let _ = write!(html, "<h2>{}</h2>\n<section>\n", escape(&section.heading));
    for exhibit in &section.exhibits {
        let (width, height) = exhibit.size;
        let (file, name) = (escape(&exhibit.file), escape(&exhibit.name));
        // The picture is stored as the network saw it, which may be squashed.
        let _ = write!(
            html,
            "<figure>\n<img src=\"{file}\" alt=\"{name}\" width=\"{width}\" height=\"{height}\" \
             style=\"aspect-ratio:{width}/{height}\" loading=\"lazy\"/>\n<figcaption>{name}\n<dl>\n"
        );
        for (term, text) in &exhibit.facts {
            let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(term), escape(text));
        }
        html.push_str("</dl></figcaption>\n</figure>\n");
    }
    html.push_str("</section>\n");
}

/// `text` as it can stand in an element or in an attribute between double quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // HTML and XML have no way to write these.
            character if character.is_control() && character != '\n' => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_becomes_markup() {
        let hostile = "\"><script>alert('x')</script>&\u{0}.jpg";
        let html = page(
            hostile,
            hostile,
            &[Section {
                heading: hostile.to_owned(),
                exhibits: vec![Exhibit {
                    file: "best-01.png".to_owned(),
                    size: (640, 480),
                    name: hostile.to_owned(),
                    facts: vec![("class", hostile.to_owned())],
                }],
            }],
        );
        // The page is XML as well, which makes it easy to take apart (less its first line).
        let (_, body) = html.split_once('\n').expect("lines");
        let document = roxmltree::Document::parse(body).expect("well-formed");
        let elements: Vec<_> = document
            .descendants()
            .filter(|node| node.is_element())
            .collect();
        let names = |name: &str| {
            elements
                .iter()
                .filter(|node| node.has_tag_name(name))
                .count()
        };
        assert_eq!((names("script"), names("img"), names("figure")), (0, 1, 1));
        let image = elements
            .iter()
            .find(|node| node.has_tag_name("img"))
            .expect("one");
        let shown = hostile.replace('\u{0}', "\u{fffd}");
        assert_eq!(image.attribute("alt"), Some(shown.as_str()));
        assert_eq!(image.attribute("src"), Some("best-01.png"));
        let heading = elements
            .iter()
            .find(|node| node.has_tag_name("h2"))
            .expect("one");
        assert_eq!(heading.text(), Some(shown.as_str()));
    }
}
