//! Who lives in the village and what they talk about. All of them are made up.

use std::time::Duration;

use super::site::Format;

/// Where somebody stands in the keeper's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Circle {
    /// The list.
    pub(crate) list: &'static str,
    /// The folder in it, if any.
    pub(crate) folder: Option<&'static str>,
    /// Whether the folder is one person with several feeds.
    pub(crate) person: bool,
}

/// Somebody with a site.
#[derive(Debug)]
pub(crate) struct Person {
    /// The short name by which neighbours link to the site.
    pub(crate) slug: &'static str,
    /// The site's name.
    pub(crate) name: &'static str,
    /// What the site says of itself.
    pub(crate) about: &'static str,
    /// Where the keeper lists it.
    pub(crate) circles: &'static [Circle],
    /// The format of its feed.
    pub(crate) format: Format,
    /// The usual pause between two posts.
    pub(crate) rhythm: Duration,
    /// How many posts there are already; the rest is said while one looks on.
    pub(crate) past: usize,
    /// What is said, in this order: title and text; `{slug}` links to a neighbour.
    pub(crate) posts: &'static [(&'static str, &'static str)],
}

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

const fn alone(list: &'static str) -> Circle {
    Circle { list, folder: None, person: false }
}

const fn among(list: &'static str, folder: &'static str) -> Circle {
    Circle { list, folder: Some(folder), person: false }
}

const fn as_person(list: &'static str, folder: &'static str) -> Circle {
    Circle { list, folder: Some(folder), person: true }
}

/// Everybody.
pub(crate) const PEOPLE: &[Person] = &[
    Person {
        slug: "porch",
        name: "The Porch Light",
        about: "Your own notebook: whoever wants to talk finds the light on.",
        circles: &[alone("mine")],
        format: Format::Atom,
        rhythm: hours(120),
        past: 3,
        posts: &[
            (
                "The light is on",
                "If you make something in this town, tell me. I will come and look, and then I will say so here.",
            ),
            (
                "What I heard at the shed",
                "I went to {shed} on Thursday and left with a stool, three names and a burn. They know what an evening is for.",
            ),
            (
                "Half of it should point away",
                "I counted: of my last ten posts, two pointed at somebody else. {benches} does better every single week.",
            ),
            (
                "A letter to everyone who wrote",
                "Eleven answers to one question. I will answer each, slowly. The longest came from {harbour}.",
            ),
            ("The choir, again", "{quay} sang on the stairs and forty people forgot where they had to be."),
        ],
    },
    Person {
        slug: "kiln",
        name: "Kiln Lane",
        about: "A pottery in a lane that is too narrow for vans.",
        circles: &[among("followers", "Oakland makers"), among("desired", "Oakland makers")],
        format: Format::Rss,
        rhythm: hours(70),
        past: 4,
        posts: &[
            (
                "Warm bricks",
                "Eleven hours up, thirty hours down. The bricks were still warm this morning and so was the cat.",
            ),
            (
                "Twelve bowls, one crack",
                "I photographed the crack from four sides. It is the best line I drew this year, and I did not draw it.",
            ),
            (
                "Glaze notes: the green that isn't",
                "Copper, a little tin, and patience. It comes out brown for everyone but {shed}, who fired it on a dare.",
            ),
            (
                "Seconds on the wall",
                "Anything on the wall outside is yours if you tell me what you will put in it. Yesterday's answer: “buttons”.",
            ),
            (
                "Somebody wrote about us",
                "{porch} came by and wrote it down. I had forgotten that I said that, and I meant it.",
            ),
            ("The kiln needs a door", "If you weld, there is soup in it. {cafe} offered the soup before I had asked."),
        ],
    },
    Person {
        slug: "shed",
        name: "Oakland Maker Shed",
        about: "Lathe, letterpress and soup, Thursdays.",
        circles: &[among("followers", "Oakland makers")],
        format: Format::Atom,
        rhythm: hours(50),
        past: 3,
        posts: &[
            ("Open evening on Thursday", "Bring a project, or bring somebody who has one."),
            (
                "The lathe speaks again",
                "It was the belt. It is always the belt. Thanks to everyone who was sure that it was not the belt.",
            ),
            ("Things left behind", "One glove, a level, half a birdhouse. The birdhouse may finish here."),
            ("What beginners ask", "We keep a list on the door, and {beginner} wrote half of it without knowing."),
            ("Chairs for the stage", "Fourteen chairs for {stage}. None of them alike, all of them level."),
        ],
    },
    Person {
        slug: "press",
        name: "Lower Case Press",
        about: "Wood type, one sheet at a time, in the back of the shed.",
        circles: &[among("desired", "Oakland makers")],
        format: Format::Json,
        rhythm: hours(110),
        past: 2,
        posts: &[
            (
                "No letter k left",
                "The last k went to {kiln}'s sign. If you see a k, the press would like to hear from it.",
            ),
            ("Ink on a cold day", "Cold ink says what it wants to say. We printed that."),
            ("A poster for forty people", "For {stage}: forty copies, since forty people fit."),
            ("How a sheet gets its edge", "Tear slowly, against a ruler, thinking of nothing."),
        ],
    },
    Person {
        slug: "stage",
        name: "Small Stage",
        about: "A small stage in a small town.",
        circles: &[alone("followers")],
        format: Format::Rss,
        rhythm: hours(64),
        past: 3,
        posts: &[
            (
                "Two chairs, one table",
                "What forty people in a room can do that four thousand followers can't: cough at the same time and laugh about it.",
            ),
            ("Who plays on Saturday", "Nobody famous. Come early, the good chairs are the ones from {shed}."),
            (
                "The quiet song",
                "She sang it without the microphone. The fridge in the bar was the loudest thing in the world, so we switched it off.",
            ),
            (
                "Doors, and who holds them",
                "A thank-you to the people at the door. You are the first line of every evening.",
            ),
            ("Notes on applause", "It starts with one person. Be that person; {porch} usually is."),
        ],
    },
    Person {
        slug: "beginner",
        name: "A Beginner's Notebook",
        about: "Starting things, mostly in the evening.",
        circles: &[alone("followers")],
        format: Format::Json,
        rhythm: hours(40),
        past: 4,
        posts: &[
            (
                "It's okay to be a beginner",
                "The fourth notebook of the year, and the first page is still the hardest. I draw a line on it, so that it isn't empty.",
            ),
            ("Chord of the week: G, badly", "My fingers do not know each other yet."),
            ("I asked a stupid question", "At {shed}. It turned out that three others had it in their pockets."),
            ("What I can do now", "Tie one knot, sing one verse, centre clay for four seconds: {kiln} counted."),
            ("Day nine", "Nothing happened on day nine. I was there, though."),
            ("Somebody else's first page", "{bicycle} started to write. Go and be their second reader."),
        ],
    },
    Person {
        slug: "harbour",
        name: "Old Harbour Radio",
        about: "A quiet radio. We speak when there is something to hear.",
        circles: &[alone("followers")],
        format: Format::Rss,
        rhythm: hours(24 * 47),
        past: 2,
        posts: &[
            ("Fog, with bells", "Twenty minutes of fog. Best with the window open."),
            ("Back on air", "The mast is mended. We missed you too. {quay} lent us the ladder."),
            ("One hour of letters", "Read aloud, without names. Yours was the third."),
        ],
    },
    Person {
        slug: "quay",
        name: "Quay Street Choir",
        about: "We rehearse on the stairs, since the stairs answer.",
        circles: &[alone("followers"), alone("desired")],
        format: Format::Atom,
        rhythm: hours(90),
        past: 2,
        posts: &[
            ("Tenors wanted, or tall altos", "You need not read music. You need to read the room."),
            ("The stairs are wet", "So we sang under the bridge, and the bridge knows only one chord."),
            ("For the radio", "We recorded the bells for {harbour}. Mind the gull at minute two."),
            ("What we sing next", "A song that {mina} wrote for us on the back of a tide table."),
        ],
    },
    Person {
        slug: "mina",
        name: "Mina Aldaba",
        about: "Songs, and how they came about.",
        circles: &[as_person("followers", "Mina Aldaba")],
        format: Format::Atom,
        rhythm: hours(80),
        past: 2,
        posts: &[
            ("A tune from a tide table", "High water at 6:14, low at 12:31: that is a melody, if you squint."),
            ("Rhymes with nothing", "I left the line without a rhyme. {press} set it like that, and now it's law."),
            ("Playing for eleven", "Eleven people at {stage}, and one of them knew the second verse."),
            ("Why I write to strangers", "Because {porch} did, and look where we are."),
        ],
    },
    Person {
        slug: "mina-songs",
        name: "Mina Aldaba: recordings",
        about: "Rough recordings, kitchen included.",
        circles: &[as_person("followers", "Mina Aldaba")],
        format: Format::Json,
        rhythm: hours(200),
        past: 2,
        posts: &[
            ("Kitchen take 3", "The kettle comes in on the bridge."),
            ("Tide table, one voice", "Before {quay} gave it four."),
            ("Kitchen take 4", "Without the kettle. I miss the kettle."),
        ],
    },
    Person {
        slug: "cafe",
        name: "Outreach Café",
        about: "A café where the second cup belongs to somebody you have not met.",
        circles: &[among("desired", "Outreach")],
        format: Format::Rss,
        rhythm: hours(56),
        past: 3,
        posts: &[
            ("The long table", "We took out four small tables and put in a long one. Fewer seats, more people."),
            (
                "Soup, and for whom",
                "Lentil on Thursdays goes to {shed} in the big pot. The pot comes back with nails in it.",
            ),
            (
                "A question on the board",
                "“Who have you not heard from?” Thirty names by evening. {porch} copied them all.",
            ),
            ("Closed for a walk", "Back at three. We are looking at {benches}' favourite bench."),
            ("Second cups", "Nineteen this week. One was drunk by the mayor, who did not know whose it was."),
        ],
    },
    Person {
        slug: "bicycle",
        name: "The Bicycle Kitchen",
        about: "Mend it with us, then it's yours.",
        circles: &[among("desired", "Outreach")],
        format: Format::Atom,
        rhythm: hours(100),
        past: 2,
        posts: &[
            ("First post", "{beginner} said that one should just begin. So: we mend bicycles, Tuesdays, in the yard."),
            ("Three wheels", "It is now a cargo bicycle. It is also, a little, a piano stand, for {stage}."),
            ("Who came", "Two sisters, a baker, somebody who did not give a name and trued four wheels."),
            ("Tools come home", "Every spanner that we lent came back, and one more."),
        ],
    },
    Person {
        slug: "benches",
        name: "Bench Weekly",
        about: "One bench a week, sat on.",
        circles: &[alone("desired")],
        format: Format::Rss,
        rhythm: hours(168),
        past: 3,
        posts: &[
            (
                "Three places I sat this week",
                "The stairs of {quay}, the wall at {kiln}, and a bench that isn't there yet.",
            ),
            ("The case for benches", "A town is as kind as its benches are many. {porch} put it better."),
            ("Bench 41: under the bridge", "Dry, slightly musical."),
            (
                "Bench 42: by the ferry",
                "You see who leaves and, if you stay, who comes back. {tidewater} sat here too.",
            ),
            ("How the square got none", "A short history of a long meeting."),
        ],
    },
    Person {
        slug: "tidewater",
        name: "Tidewater Notes",
        about: "What the water brings, twice a day.",
        circles: &[alone("desired")],
        format: Format::Json,
        rhythm: hours(60),
        past: 3,
        posts: &[
            ("Left by the tide", "A shoe, a letter (unreadable), a very good plank: {shed} has the plank."),
            ("Spring tide", "The steps are gone until Thursday. They will be back; they always are."),
            ("Listening at low water", "If you stand still, the mud talks. {harbour} should come with a microphone."),
            ("Names for grey", "Nine so far. Send yours."),
            ("The ferry was late", "So everybody talked. Best half hour of the week."),
        ],
    },
];
