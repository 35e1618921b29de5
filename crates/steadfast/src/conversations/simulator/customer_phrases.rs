//! What the customer says.

use super::phrasing::Phrasings;

macro_rules! moves {
    ($($name:ident: [$($training:literal),+ $(,)?], [$($test:literal),+ $(,)?];)+) => {
        $(pub(super) const $name: Phrasings =
            Phrasings { training: &[$($training),+], test: &[$($test),+] };)+
        /// Every move by name, for tests.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, Phrasings)] = &[$((stringify!($name), $name)),+];
    };
}

moves! {
    HELLO: [
        "Hello", "Hi", "Good morning", "Hi there!", "Hello, are you there?", "Good evening",
        "Hello there", "Hey",
    ], ["Good afternoon", "Hi, good day", "Hello, anyone there?", "Hey there!"];
    OPEN_BOOKING: [
        "I need a hotel.", "I would like to book a hotel.", "I am looking for a hotel.",
        "Can you book a room for me?", "I want to book a room.", "I need a place to stay.",
        "Please find me a hotel.", "Could you help me book a hotel?",
    ], [
        "I would like to reserve a hotel room.", "I have to find a hotel.",
        "Can you help me get a room?", "I am planning a trip and need a hotel.",
    ];
    OPEN_SEARCH: [
        "I only want to know what hotels you have.", "What hotels do you have?",
        "I just want to look at hotels for now.", "Can you tell me what is free?",
        "I am only looking, not booking yet.", "I want to compare hotels first.",
        "Could you check for a free hotel? I will not book today.",
        "I am just asking about hotels.",
    ], [
        "I am only checking what you have.", "Could you look up hotels for me? No booking yet.",
        "I just need some information about hotels.", "I would like to see which hotels are free.",
    ];
    OPEN_SERVICE: [
        "I am a guest and I need {request}.", "Could I have {request}?",
        "I would like {request}, please.", "Can you send {request} to my room?",
        "I am staying with you and want {request}.", "Please arrange {request} for me.",
        "I need {request} in my room.", "Is it possible to get {request}?",
    ], [
        "May I ask for {request}?", "We are short of something here: we need {request}.",
        "I am already checked in and would like {request}.", "Could someone bring {request}?",
    ];
    GIVE_CITY: [
        "It is for {city}.", "In {city}, please.", "I am going to {city}.", "{city}.",
        "The city is {city}.", "I will be in {city}.", "{city} please.", "We travel to {city}.",
    ], ["I am off to {city}.", "It should be in {city}.", "The trip is to {city}.", "{city}, if possible."];
    GIVE_DATE: [
        "I arrive on {date}.", "From {date}.", "Check-in is {date}.", "On {date}.",
        "We arrive on {date}.", "Starting {date}.", "The arrival date is {date}.", "{date}, please.",
    ], ["I get there on {date}.", "My arrival is {date}.", "It begins on {date}.", "I will check in on {date}."];
    GIVE_NIGHTS: [
        "For {nights_text}.", "{nights_text}.", "I stay {nights_text}.", "It is {nights_text}.",
        "We need {nights_text}.", "I will stay for {nights_text}.", "{nights_text}, please.",
        "Make it {nights_text}.",
    ], ["I am staying {nights_text}.", "That will be {nights_text}.", "{nights_text} in total.", "I want {nights_text}."];
    GIVE_CHECKOUT: [
        "Until {checkout}.", "I leave on {checkout}.", "Check-out is {checkout}.",
        "We stay until {checkout}.", "I check out on {checkout}.", "To {checkout}.",
        "The last day is {checkout}.", "Leaving {checkout}.",
    ], ["I depart on {checkout}.", "My check-out day is {checkout}.", "We leave on {checkout}.", "I am there till {checkout}."];
    GIVE_GUESTS: [
        "For {guests_text}.", "{guests_text}.", "There will be {guests_text}.", "It is {guests_text}.",
        "The room is for {guests_text}.", "We are {guests_text}.", "{guests_text}, please.",
        "Book it for {guests_text}.",
    ], ["It will be {guests_text}.", "{guests_text} in all.", "I need space for {guests_text}.", "Count {guests_text}."];
    GIVE_NAME: [
        "{name}.", "My name is {name}.", "It is {name}.", "Under {name}.", "I am {name}.",
        "Put it under {name}.", "The name is {name}.", "{name}, please.",
    ], ["You can use {name}.", "Book it as {name}.", "Make it out to {name}.", "I go by {name}."];
    GIVE_PRICE: [
        "Please keep it under {cap} euros a night.", "My limit is {cap} euros a night.",
        "I can pay up to {cap} euros a night.", "It should cost at most {cap} euros a night.",
        "Nothing over {cap} euros a night.", "The budget is {cap} euros a night.",
        "No more than {cap} euros a night.", "I would pay {cap} euros a night at most.",
    ], [
        "It must not cost over {cap} euros a night.", "{cap} euros a night is my maximum.",
        "I have {cap} euros a night to spend.", "Ideally below {cap} euros a night.",
    ];
    GIVE_FEATURE: [
        "It should have {feature}.", "I want {feature}.", "It needs {feature}.",
        "{feature} would be important.", "I would like {feature}.", "Please find one with {feature}.",
        "We want a hotel with {feature}.", "It must have {feature}.",
    ], ["{feature} is a must.", "I am hoping for {feature}.", "We need one with {feature}.", "Having {feature} matters to me."];
    GIVE_HOTEL: [
        "I would like {hotel}.", "I want to stay at {hotel}.", "Preferably {hotel}.",
        "Is {hotel} free?", "My choice is {hotel}.", "Could it be {hotel}?",
        "I am thinking of {hotel}.", "I like {hotel} best.",
    ], ["{hotel} would be my choice.", "I was hoping for {hotel}.", "Has {hotel} got a room?", "I had {hotel} in mind."];
    STAY_AT: [
        "I am at {hotel}.", "{hotel}.", "We stay at {hotel}.", "It is {hotel}.",
        "The hotel is {hotel}.", "I am in {hotel}.", "At {hotel}.", "My hotel is {hotel}.",
    ], ["I am a guest of {hotel}.", "That is {hotel}.", "You can find me at {hotel}.", "We are guests at {hotel}."];
    GIVE_ROOM_NUMBER: [
        "Room {room_number}.", "I am in room {room_number}.", "The room number is {room_number}.",
        "It is room {room_number}.", "{room_number}.", "My room is {room_number}.",
        "Number {room_number}.", "We are in {room_number}.",
    ], ["You will find me in {room_number}.", "That is room {room_number}.", "Room number {room_number}, please.", "It is number {room_number}."];
    WITHHOLD: [
        "I still have to check that. What else do you need?",
        "I do not know that yet. Can we do the rest first?",
        "Let me come back to that later.", "Not sure yet, ask me something else first.",
        "I will tell you that in a minute.", "I have to look that up. Go on, please.",
        "Can we leave that for now?", "I am not certain yet. What else?",
    ], [
        "Could we skip that for the moment?", "I need to find that out. What comes next?",
        "I cannot say yet, please go on.", "Give me time for that one. Anything else you need?",
    ];
    OFF_TOPIC: [
        "By the way, who won the football match?", "Can you also tell me a joke?",
        "What do you think about the election?", "Could you help me with my homework?",
        "Do you know a good recipe for soup?", "Can you fix my computer?",
        "Which phone should I buy?", "Can you book me a dentist, too?",
    ], [
        "Do you know how to repair a bicycle?", "Could you write a poem for my sister?",
        "What is the best film this year?", "Can you order me a pizza, too?",
    ];
    ASK_PRICE: [
        "How much is it?", "What does it cost?", "What was the price again?",
        "How much do I pay a night?", "And the price?", "What is the price a night?",
        "How much does one night cost?", "Can you tell me the price again?",
    ], ["What would a night set me back?", "Remind me, what is the rate?", "How expensive is it?", "What do they charge?"];
    ASK_FEATURE: [
        "Does it have {feature}?", "Is there {feature}?", "Do they have {feature}?",
        "Has it got {feature}?", "Does the hotel have {feature}?", "Will I find {feature} there?",
        "Can I expect {feature}?", "Do guests get {feature}?",
    ], ["Would there be {feature}?", "Do they offer {feature}?", "Is {feature} included?", "Does that hotel come with {feature}?"];
    ASK_OTHER: [
        "Do you have anything else?", "Is there another one?", "What else do you have?",
        "I would like to see another hotel.", "Are there other hotels?", "Any other hotel?",
        "Not that one. Is there another?", "Could I have a different hotel?",
    ], ["What other choices are there?", "Can you suggest a different one?", "Hmm, show me something else.", "Do you know of another place?"];
    ACCEPT: [
        "Yes, I will take it.", "That sounds good, please book it.", "Good, I want that one.",
        "Yes, please book that.", "Perfect, I take it.", "Fine, let us book it.",
        "OK, that one please.", "Great, go ahead with it.",
    ], ["That will do nicely, book it.", "Lovely, let us go with that.", "Sure, reserve that one for me.", "All right, I choose that."];
    ACCEPT_FIRST: [
        "Then I take {hotel}.", "OK, {hotel} then.", "In that case {hotel} is fine.",
        "Fine, book {hotel}.", "Then {hotel}, please.", "All right, {hotel} it is.",
        "I will have {hotel} then.", "Good, let us book {hotel}.",
    ], ["Well, {hotel} will do.", "So be it, {hotel}.", "I settle for {hotel}.", "I choose {hotel} then."];
    SAY_YES: [
        "Yes, that is right.", "Yes.", "Correct.", "That is all correct.", "Yes, perfect.",
        "Right, please book it.", "Yes, go ahead.", "Everything is right.",
    ], ["Exactly.", "Yes, that looks fine.", "All good, go on.", "That is what I want."];
    CHANGE: [
        "Wait, I have to change something.", "No, one thing is different now.",
        "Sorry, I made a mistake.", "Actually, I want to change that.", "Not quite.",
        "No, please change it.", "Oh, plans have changed.", "Hold on, that must change.",
    ], ["Hm, let me correct that.", "I need to alter one thing.", "Something is not right.", "On second thought, not like that."];
    TRY_CITY: [
        "Then please look in {city}.", "What about {city}?", "OK, let us try {city}.",
        "{city} would be fine too.", "Then {city}.", "Let us say {city} instead.",
        "I could also go to {city}.", "Try {city}, please.",
    ], ["{city} works as well.", "Perhaps {city} then?", "I can switch to {city}.", "Make it {city} in that case."];
    THANKS: [
        "Thank you!", "Thanks a lot.", "Great, thanks.", "Perfect, thank you.",
        "Thank you very much.", "Thanks!", "Wonderful, thank you.", "Many thanks.",
    ], ["I appreciate it.", "Brilliant, cheers.", "That is kind of you.", "Much obliged."];
    THAT_IS_ALL: [
        "No, that is all.", "That is everything, bye.", "No, thank you. Goodbye.",
        "Nothing else, thanks.", "No, I am done. Bye!", "That is all, thank you.",
        "No more for now, goodbye.", "No thanks, bye.",
    ], ["I have all I need, farewell.", "We are finished, thanks and bye.", "Nope, see you.", "That covers it, so long."];
}
