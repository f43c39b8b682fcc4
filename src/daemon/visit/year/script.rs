//! What happens in the village, day by day, and what listend says of it on the last evening.

use super::*;

/// Who posts regularly: from which day on, every so many days, and up to which day.
const RHYTHMS: [(&str, i64, i64, i64); 10] = [
    ("ann", 2, 7, 365),
    ("bo", 1, 1, 365),
    ("cy", 9, 34, 330),
    ("dee", 3, 5, 120),
    ("fay", 4, 9, 365),
    ("gus", 6, 14, 365),
    ("ida", 5, 8, 365),
    ("jo", 7, 7, 365),
    ("kit", 12, 41, 365),
    ("lou", 8, 10, 300),
];

/// Links in the foot of everything that Bo says: furniture, which counts for nothing.
const FOOT: &str =
    "<p>Friends: <a href=\"https://me.example/\">Max</a>, <a href=\"https://quarry.example/\">Quarry</a></p>";

fn link(to: &str) -> String {
    format!("<p>Read <a href=\"{to}\">this</a>.</p>")
}

/// What happens on some days beside the rhythms.
async fn happenings(world: &mut World, today: i64) {
    let bench = address("me", "A bench for the square");
    match today {
        0 => {
            world.list("mine", "me").await;
            world.list("inbox", "comments").await;
            world.list("followers", "ann bo cy dee eli").await;
            world.list("desired", "ann fay gus hal ida").await;
            world.list("friends", "jo kit lou").await;
        }
        10 => world.post("hal", "Back at the lathe", "<p>Turning again.</p>"),
        20 => world.post("hal", "A bowl of ash", "<p>With one crack.</p>"),
        // A debt that a post of ours settles.
        40 => world.post("me", "A bench for the square", "<p>Who builds it?</p>"),
        45 => world.post("ann", "Three places to sit", &link(&bench)),
        50 => world.post("me", "Ann sat down", &link(&address("ann", "Three places to sit"))),
        // Two who link to one page, and too far apart to be talking.
        60 => world.post("fay", "An old essay", &link("https://essays.example/slow")),
        90 => world.post("ida", "The same old essay", &link("https://essays.example/slow")),
        // Somebody speaks twice, and again after half a year.
        30 => world.post("eli", "Hello", "<p>A first post.</p>"),
        55 => world.post("eli", "Hello again", "<p>A second one.</p>"),
        // One is away for half a day: that is nobody's business.
        150 => {
            world.list("friends", "kit lou").await;
            set(day(150).plus(19 * HOUR));
            world.list("friends", "jo kit lou").await;
        }
        // A debt that is settled by hand.
        200 => world.post("cy", "On benches", &link(&bench)),
        202 => world.answered("cy", "On benches", "thanked").await,
        // One leaves, one comes, one begins to follow.
        300 => world.list("friends", "jo kit").await,
        350 => {
            world.list("followers", "ann bo cy dee eli ida").await;
            world.list("desired", "ann fay gus hal").await;
        }
        355 => world.list("desired", "ann fay gus hal moe").await,
        356 => world.post("moe", "Good morning", "<p>New here.</p>"),
        // Debts that are still owed.
        330 => world.post("gus", "Sitting in public", &link(&format!("{bench}?utm_source=feed#top"))),
        341 => world.post("fay", "Whom I read", "<p>Everything by Max Bench, and the Benchmark Review.</p>"),
        345 => world.post_by(
            "comments",
            "Re: A bench for the square",
            "<p>May I help?</p>",
            Some("https://jo.example/about"),
        ),
        346 => world.post_by("comments", "Re: Ann sat down", "<p>Me too.</p>", Some("https://stranger.example/")),
        // A conversation: two link to one page, a third to what one of them said.
        352 => world.post("ann", "The case for benches", &link("https://square.example/case")),
        354 => world.post("fay", "Against the case", &link("https://square.example/case")),
        353 => world.post("kit", "Fay has a point", "<p>Soon more.</p>"),
        358 => world.post("kit", "What Fay says", &link(&address("fay", "Against the case"))),
        // A bridge: three link to one site; another is linked to by one only, however often.
        310 => world.post("ann", "A quarry", &link("https://quarry.example/stones")),
        320 => world.post("gus", "Stones", &link("https://www.quarry.example/")),
        336 => world.post("kit", "To the quarry", &link("https://quarry.example/map")),
        // After half a year of silence.
        360 => world.post("eli", "Back on air", "<p>Sorry for the silence.</p>"),
        362 => world.post("me", "Where we stand", &link(&address("ida", "Note 45"))),
        _ => {}
    }
}

async fn a_year() -> World {
    let mut world = World::new().await;
    for today in 0..365 {
        world.until(today);
        for (who, from, every, to) in RHYTHMS {
            if (from..to).contains(&today) && (today - from) % every == 0 {
                let html = if who == "bo" { FOOT } else { "<p>This and that.</p>" };
                world.post(who, &format!("Note {}", (today - from) / every), html);
            }
        }
        happenings(&mut world, today).await;
    }
    world.until(365);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_in_the_village() {
    let world = a_year().await;
    let mut told = String::new();
    for view in ["mutual", "mentions", "thanks", "neglected", "quiet", "conversations", "newcomers", "bridges"] {
        let stream = world.stream(&format!("/{view}")).await;
        let is_news = |line: &&str| !line.contains(": Note ") || line.contains("First post");
        let stream: Vec<&str> = stream.lines().filter(is_news).collect();
        let _ = writeln!(told, "=== /{view} as a feed\n{}", stream.join("\n"));
    }
    insta::assert_snapshot!("streams", told);
    for page in ["thanks", "neglected", "quiet", "conversations", "newcomers", "bridges", "voices"] {
        insta::assert_snapshot!(page, world.page(&format!("/{page}.html")).await);
    }
    let before = |page: String, words: &str| page.split_once(words).map(|(before, _)| before.to_owned());
    insta::assert_snapshot!("ann", before(world.page("/voices/ann.html").await, "What they say").expect("she speaks"));
    insta::assert_snapshot!("today", before(world.page("/").await, "What they said").expect("they speak"));
}
