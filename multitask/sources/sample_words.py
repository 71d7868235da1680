"""The words of the generated sample: about 150 with a sentiment, and plain ones to put around them.

Written for this project; `sample_rows` puts them together. The same words carry the sentiment in tweets and in
reviews, so that one task can help the other, as far as a toy can show that.
"""

from __future__ import annotations


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split(",") if phrase.strip())


ADJECTIVES: dict[str, tuple[str, ...]] = {
    "positive": _phrases(
        "good, great, lovely, wonderful, brilliant, charming, delightful, superb, fantastic, amazing, awesome, "
        "beautiful, clever, funny, witty, moving, touching, fresh, gorgeous, perfect, splendid, terrific, thrilling, "
        "warm, sweet, exciting, inspiring, impressive, magical, pleasant, fun, elegant, graceful, enjoyable, "
        "excellent, refreshing, stunning, marvelous"
    ),
    "negative": _phrases(
        "bad, awful, terrible, horrible, boring, dull, dreadful, stupid, ugly, annoying, lousy, lame, tedious, "
        "bland, clumsy, messy, shallow, stale, painful, nasty, pathetic, silly, tiresome, gloomy, disappointing, "
        "irritating, frustrating, pointless, ridiculous, miserable, cheap, empty, weak, rotten, unpleasant, "
        "depressing, unbearable, sloppy"
    ),
}
"""After "is", with or without "so"."""

VERBS: dict[str, tuple[str, ...]] = {
    "positive": _phrases("love, adore, enjoy, like, admire, treasure, cherish, appreciate, recommend, applaud"),
    "negative": _phrases("hate, loathe, dislike, despise, regret, dread, detest, resent, avoid, deplore"),
}
"""After "i" or "you will", before a thing."""

NOUNS: dict[str, tuple[str, ...]] = {
    "positive": _phrases(
        "a joy, a treat, a delight, a gem, a triumph, a pleasure, a winner, a marvel, a success, a masterpiece, "
        "a blessing, a hit, a dream come true, a breath of fresh air, worth every minute, "
        "a real treasure, a work of art, a gift, a blast, second to none, a feast, a wonder, "
        "a stroke of genius, my favorite, a highlight, pure fun, pure magic, a masterclass"
    ),
    "negative": _phrases(
        "a mess, a bore, a waste of time, a failure, a disaster, a chore, a flop, a joke, a pain, a nightmare, "
        "a letdown, a shame, a disgrace, a wreck, a waste of money, a total loss, "
        "a headache, a mistake, a drag, hard to bear, an insult, a fiasco, a torment, "
        "a low point, pure misery, pure torture, a dud, a burden"
    ),
}
"""After "is", for a thing."""

INTENSIFIERS = _phrases("so, very, really, truly, just, quite, simply, absolutely")
ADVERBS = _phrases("really, truly, totally, always, still")

THINGS = _phrases(
    "this coffee, my new phone, the weather, the new song, this book, my math class, the bus ride, our dinner, "
    "the party, this game, the concert, my haircut, the traffic, the museum, this sandwich, our garden, the beach, "
    "my homework, the meeting, this laptop, the pizza, the last episode, my shift, the picnic, the train station, "
    "this jacket, my bike, the wedding, the new office, this puzzle, the soup, my playlist, the hotel, the match"
)
PEOPLE = _phrases(
    "my sister, my brother, tom, anna, my mom, a friend, my boss, the neighbor, lisa, grandpa, my cousin, jack, "
    "my roommate, the coach, aunt may, the landlord"
)
PLACES = _phrases(
    "at home, in the park, in town, at work, by the lake, on the bus, at school, near the station, at the airport, "
    "in the kitchen, at the library, on the beach, in chicago, at the gym, in the garden, at the market"
)
TIMES = _phrases(
    "today, tonight, this morning, on monday, at noon, after lunch, last night, this weekend, on friday, at seven, "
    "before class, every day"
)
DEEDS = _phrases(
    "watching a movie, making dinner, waiting for a call, packing the bags, cleaning the kitchen, reading the paper, "
    "writing a report, walking the dog, looking for the keys, buying a ticket, fixing the car, doing the laundry, "
    "heading out, taking a test, unpacking boxes, listening to the radio, painting the fence, planning a trip"
)
QUESTIONS = _phrases(
    "what time does it start, who is coming along, did you get my message, where are you now, can you call me later, "
    "does anyone have the address, which way is the station, how long does it take"
)
OPENERS = _phrases("well, ok, hey, oh, morning all, hmm, so, guess what, by the way, just saying, back again")

FILMS = _phrases(
    "the film, the movie, this comedy, this drama, the story, the script, the acting, the plot, this thriller, "
    "the ending, the cast, the dialogue, the music, this documentary, the direction, the first half, the second half, "
    "the lead role, this sequel, the camera work"
)
ASIDES = _phrases(
    "set in a small town, about two brothers, based on a novel, made in france, shot in black and white, "
    "with a young cast, at two hours, from a first time director, like the book, for the most part, in the end, "
    "after a slow start, from start to finish, on the big screen, in its own way, with few words"
)

FEELINGS: tuple[tuple[str, ...], ...] = (
    _phrases("sad, lonely, hopeless, miserable, gloomy, heartbroken, empty, unhappy, lost, ashamed, depressed, hurt"),
    _phrases("happy, glad, cheerful, delighted, wonderful, great, thrilled, proud, content, excited, pleased, lucky"),
    _phrases("loving, tender, caring, adored, fond, devoted, sweet, romantic, affectionate, gentle, cherished, warm"),
    _phrases("angry, furious, annoyed, irritated, bitter, mad, resentful, enraged, hostile, outraged, cross, fed up"),
    _phrases("afraid, scared, nervous, anxious, terrified, worried, shaky, uneasy, frightened, tense, unsafe, alarmed"),
    _phrases("surprised, amazed, stunned, astonished, shocked, curious, startled, dazed, puzzled, speechless"),
)
"""In the order of the labels: sadness, joy, love, anger, fear, surprise."""

CREATURES = _phrases("dog, cat, horse, man, woman, boy, girl, child, chef, farmer, singer, nurse, bear, monkey")
LOOKS = _phrases("small, tall, young, shy, tired, hungry, quiet, busy, lucky, friendly")
ACTS = _phrases("carrying, watching, washing, painting, hiding, pushing, selling, drawing, guarding, cleaning")
OBJECTS = _phrases(
    "a ball, a guitar, a box, a chair, a bike, a cake, a kite, a boat, a lamp, a basket, a ladder, a drum"
)
SITES = _phrases("in a park, on a stage, at a lake, in a kitchen, on a roof, in a barn, near a bridge, at a station")

ACRONYMS = _phrases("NASA, FBI, CPR, DVD, UNESCO, RAM, LASER, NATO, HTML, AIDS, BBC, NAFTA, SCUBA, CEO, GPS, IRS")
MATTERS = _phrases(
    "cheese, gravity, a comet, jazz, the internet, glass, a volcano, salt, paper, an earthquake, sleep, "
    "a rainbow, steel, a virus, silk, inflation"
)
WORKS = _phrases(
    "the telephone, Hamlet, the first computer, the White House, the Mona Lisa, the light bulb, the zipper, Jaws, "
    "the first novel, penicillin, the steam engine, the Eiffel Tower"
)
KINDS = _phrases("animal, sport, color, food, language, flower, drink, instrument, bird, fruit, planet, currency")
REGIONS = _phrases("Peru, Texas, Japan, Ohio, Spain, Egypt, Canada, Norway, India, Alaska, Kenya, Poland, Chile, Cuba")
SIGHTS = _phrases(
    "the Nile, Mount Everest, the Louvre, the Grand Canyon, Lake Placid, the Taj Mahal, the Amazon, Wall Street, "
    "the Sahara, Yosemite, the Black Sea, Big Ben"
)
