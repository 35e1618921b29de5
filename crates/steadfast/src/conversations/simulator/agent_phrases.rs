//! What the agent says. Each move has its own unmistakable wording, so that a rule can recognise it.

use super::phrasing::Phrasings;

macro_rules! moves {
    ($($(#[$doc:meta])* $name:ident: [$($training:literal),+ $(,)?], [$($test:literal),+ $(,)?];)+) => {
        $($(#[$doc])* pub(super) const $name: Phrasings =
            Phrasings { training: &[$($training),+], test: &[$($test),+] };)+
        /// Every move by name, for tests.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, Phrasings)] = &[$((stringify!($name), $name)),+];
    };
}

moves! {
    GREET: [
        "Hello! How can I help you?",
        "Good day, how may I help you?",
        "Welcome! What can I do for you today?",
        "Hi there! How can I help with your stay?",
        "Hello and welcome. How may I assist you?",
        "Hi! What can I help you with?",
        "Good morning! How can I help you?",
        "Hello, this is hotel booking. How can I help?",
    ], [
        "Hello! What can I do for you this time?",
        "Hi, welcome! How may I be of service?",
        "Greetings! How can I assist you today?",
        "Good afternoon. How can I help you with a hotel?",
    ];
    ASK_CITY: [
        "Which city would you like to stay in?",
        "What city are you travelling to?",
        "In which city do you want to stay?",
        "Where would you like to stay?",
        "Which city should I search in?",
        "What city will you be visiting?",
        "Could you tell me which city you want?",
        "For which city should I look?",
    ], [
        "Which city are you going to?",
        "May I ask what city you need the hotel in?",
        "In what city should the hotel be?",
        "Please tell me the city you will stay in.",
    ];
    ASK_DATE: [
        "What day would you like to check in?",
        "When will you arrive?",
        "What is your check-in date?",
        "On which date do you arrive?",
        "When would you like to check in?",
        "Which day does your stay start?",
        "Could you give me your arrival date?",
        "From what date do you need the room?",
    ], [
        "What date will you be checking in?",
        "May I have your check-in date?",
        "Which day are you arriving?",
        "When does your stay begin?",
    ];
    ASK_LENGTH: [
        "How many nights will you stay?",
        "For how many nights do you need the room?",
        "How long will you be staying?",
        "How many nights should I book?",
        "How long would you like to stay?",
        "How many nights are you planning to stay?",
        "How many nights is it for?",
        "Could you tell me how many nights?",
    ], [
        "How many nights would you like?",
        "For how long do you need the room?",
        "Could you tell me how many nights you are staying?",
        "How many nights is the stay?",
    ];
    ASK_GUESTS: [
        "How many guests will there be?",
        "For how many people is the room?",
        "How many people are staying?",
        "How many guests should I book for?",
        "How many of you are there?",
        "For how many guests do you need the room?",
        "Could you tell me the number of guests?",
        "How many people will be in the room?",
    ], [
        "How many guests are coming?",
        "What is the number of guests, please?",
        "For how many persons should I book?",
        "How many people will be staying?",
    ];
    ASK_DATE_AND_LENGTH: [
        "When will you arrive, and for how many nights?",
        "What is your check-in date, and how many nights will you stay?",
        "Which day do you arrive, and how long will you stay?",
        "When would you like to check in, and how many nights should I book?",
        "What day does your stay start, and for how many nights?",
        "Could you give me your arrival date and the number of nights?",
        "On what date do you arrive, and how many nights do you need?",
        "When do you check in, and for how many nights?",
    ], [
        "What date will you be arriving, and how many nights will it be?",
        "May I have the check-in date and the number of nights?",
        "Which day are you checking in, and how many nights are you staying?",
        "When does your stay begin, and how many nights will you need?",
    ];
    ASK_NAME: [
        "What name should I put on the booking?",
        "May I have your name, please?",
        "Under what name shall I book?",
        "What is your name?",
        "Could I have your full name?",
        "Which name is the booking for?",
        "What name should the reservation be under?",
        "Could you give me your name, please?",
    ], [
        "Could you tell me your full name?",
        "What name will the booking be under?",
        "What name shall I use for the reservation?",
        "May I ask for your name?",
    ];
    ASK_HOTEL: [
        "Which hotel are you staying at?",
        "What hotel are you in?",
        "Could you tell me which hotel you are in?",
        "At which hotel are you staying?",
        "Which of our hotels are you staying in?",
        "What is the name of your hotel?",
        "Can you tell me the hotel you are in?",
        "Which hotel is this for?",
    ], [
        "In which hotel are you staying?",
        "Which hotel are you a guest of?",
        "May I know which hotel you are at?",
        "Please tell me which hotel this is for.",
    ];
    ASK_ROOM_NUMBER: [
        "What is your room number?",
        "Which room are you in?",
        "Could you give me your room number?",
        "May I have your room number?",
        "What room number are you in?",
        "Can you tell me the room number?",
        "What is the number of your room?",
        "Which room number is it for?",
    ], [
        "Could you tell me your room number, please?",
        "What is your room's number?",
        "Which room is it?",
        "May I ask which room you are in?",
    ];
    OFFER: [
        "{hotel} in {city} is free, for {price} euros a night. Would you like it?",
        "I found {hotel} in {city} at {price} euros a night. Does that suit you?",
        "I found a room at {hotel} in {city} for {price} euros a night. Would you like it?",
        "I can offer you {hotel} in {city} for {price} euros a night.",
        "How about {hotel} in {city}? It costs {price} euros a night.",
        "I have {hotel} in {city} for {price} euros a night. Would you like it?",
        "I recommend {hotel} in {city}, at {price} euros a night. Would that work?",
        "We have a room at {hotel} in {city} for {price} euros a night. Do you want it?",
    ], [
        "I have found {hotel} in {city} for {price} euros a night. How does that sound?",
        "There is a free room at {hotel} in {city}, {price} euros a night. Would that suit you?",
        "I would suggest {hotel} in {city}, which is {price} euros a night. Do you like it?",
        "{hotel} in {city} is available at {price} euros a night. Would you like that one?",
    ];
    OFFER_OTHER: [
        "There is also {hotel}, for {price} euros a night. Would you like that?",
        "I can also offer {hotel} at {price} euros a night. Does that suit you?",
        "Another hotel is {hotel}, which costs {price} euros a night. Would you like it?",
        "How about {hotel} then? It costs {price} euros a night.",
        "I also found {hotel}, at {price} euros a night. Would you like it?",
        "You could also stay at {hotel} for {price} euros a night. Do you want it?",
        "I also have {hotel}, at {price} euros a night. Would that work?",
        "I have also {hotel}, for {price} euros a night. Does that suit you?",
    ], [
        "Another choice is {hotel}, available at {price} euros a night. Do you like it?",
        "I have also found {hotel} for {price} euros a night. How does that sound?",
        "I would also suggest {hotel}, which is {price} euros a night. Would that suit you?",
        "{hotel} is also available, at {price} euros a night. Would you like that one?",
    ];
    INFORM_PRICE: [
        "It costs {price} euros a night.",
        "The price is {price} euros a night.",
        "It costs {price} euros for one night.",
        "You pay {price} euros for each night.",
        "The room costs {price} euros a night.",
        "One night costs {price} euros.",
        "The rate is {price} euros a night.",
        "It is {price} euros for one night.",
    ], [
        "They charge {price} euros per night.",
        "The nightly rate is {price} euros.",
        "Each night costs {price} euros.",
        "The room is priced at {price} euros a night.",
    ];
    INFORM_HAS: [
        "Yes, it has {feature}.",
        "Yes, {hotel} has {feature}.",
        "Yes, the hotel does have {feature}.",
        "Yes, there is {feature} at {hotel}.",
        "Yes, the hotel has {feature}.",
        "Certainly, it has {feature}.",
        "Yes, guests have {feature} there.",
        "It does, {hotel} has {feature}.",
    ], [
        "Yes, you will find {feature} there.",
        "Yes indeed, {hotel} does have {feature}.",
        "The hotel does have {feature}.",
        "Yes, {feature} is there for guests.",
    ];
    INFORM_LACKS: [
        "No, {hotel} does not have {feature}.",
        "No, it does not have {feature}.",
        "No, there is not {feature} at {hotel}.",
        "The hotel does not have {feature}.",
        "No, the hotel has no {plain_feature}.",
        "It does not have {feature}, but it has {other_feature}.",
        "No, but {hotel} has {other_feature}.",
        "No, {hotel} has no {plain_feature}.",
    ], [
        "No, that hotel does not offer {feature}.",
        "No, you will not find {feature} there.",
        "{hotel} has no {plain_feature}, but it does have {other_feature}.",
        "It has no {plain_feature}.",
    ];
    CONFIRM: [
        "So that is {hotel} from {date}, {length}, {guests}, under {name}. Is that right?",
        "Let me confirm: {hotel}, {date}, {length}, {guests}, name {name}. Is that correct?",
        "To confirm: {hotel}, arriving {date}, {length}, {guests}, for {name}. Is everything right?",
        "I have {hotel}, check-in {date}, {length}, {guests}, in the name of {name}. Correct?",
        "Just to check: {hotel}, {date}, {length}, {guests}, for {name}. Is this correct?",
        "Please confirm: {hotel} from {date}, {length}, {guests}, name {name}. Is that all right?",
        "Let me read that back: {hotel}, {date}, {length}, {guests}, for {name}. Is it right?",
        "You want {hotel} from {date}, {length}, {guests}, booked for {name}. Is that correct?",
    ], [
        "May I confirm the details: {hotel}, from {date}, {length}, {guests}, for {name}. Are they right?",
        "Here is what I have: {hotel}, check-in {date}, {length}, {guests}, under {name}. Is it correct?",
        "Let me repeat that: {hotel}, {date}, {length}, {guests}, in the name of {name}. Is that right?",
        "Before I book, please confirm {hotel}, {date}, {length}, {guests}, for {name}. All correct?",
    ];
    CONFIRM_REQUEST: [
        "So that is {request} for room {room_number} at {hotel}. Is that right?",
        "Let me confirm: {request}, room {room_number}, {hotel}. Is that correct?",
        "To confirm: {request} to room {room_number} at {hotel}. Is everything right?",
        "I have {request} for room {room_number} in {hotel}. Correct?",
        "Just to check: {request}, {hotel}, room {room_number}. Is this correct?",
        "Please confirm: {request} for room {room_number}, {hotel}. Is that all right?",
        "Let me read that back: {request}, room {room_number} of {hotel}. Is it right?",
        "You want {request} for room {room_number} at {hotel}. Is that correct?",
    ], [
        "May I confirm: {request}, {hotel}, room number {room_number}. Are the details right?",
        "Here is what I have: {request} for room {room_number} at {hotel}. Is it correct?",
        "Let me repeat that: {request}, room {room_number}, {hotel}. Is that right?",
        "Before I send it, please confirm {request} for {hotel}, room {room_number}. All correct?",
    ];
    BOOK: [
        "Your room is booked. Your reference is {reference}.",
        "All done, your booking is made. The reference is {reference}.",
        "I have booked it for you. Your reference number is {reference}.",
        "The booking is complete, with reference {reference}.",
        "Your stay is booked under reference {reference}.",
        "Your reservation is confirmed. The reference is {reference}.",
        "That is booked for you. Please keep the reference {reference}.",
        "I have made the booking. Reference: {reference}.",
    ], [
        "Your booking is confirmed, and the reference number is {reference}.",
        "The room has been booked. You have reference {reference}.",
        "I have reserved the room for you, reference {reference}.",
        "The reservation is made. Please note the reference {reference}.",
    ];
    BOOK_REQUEST: [
        "Your request is made. The reference is {reference}.",
        "All done, I have sent your request. Your reference is {reference}.",
        "I have passed your request on, with reference {reference}.",
        "Your request has been submitted under reference {reference}.",
        "The request is placed. Your reference number is {reference}.",
        "I have placed the request. Reference: {reference}.",
        "Your request has been made, with reference {reference}.",
        "Your request has been placed. The reference is {reference}.",
    ], [
        "Your request has been sent, and the reference number is {reference}.",
        "Your request has been submitted, and you have reference {reference}.",
        "I have submitted the request for you, reference {reference}.",
        "The request has been made. Please note the reference {reference}.",
    ];
    DECLINE_CITY: [
        "I am sorry, there are no rooms in {city} in {month}. Would another city do?",
        "Sorry, everything in {city} is full in {month}. Could it be another city?",
        "Unfortunately all hotels in {city} are full in {month}. Would you try another city?",
        "I am afraid nothing is free in {city} in {month}. Would {other_city} do instead?",
        "Sorry, no hotel in {city} has a room in {month}. Would {other_city} work?",
        "I am sorry, {city} is full in {month}. We have a hotel in {other_city}, though.",
        "Unfortunately there is nothing free in {city} in {month}. There are rooms in {other_city}.",
        "I could not find a room in {city} in {month}. Shall I look in {other_city}?",
    ], [
        "I am sorry, but no rooms are left in {city} in {month}. Could I look in {other_city}?",
        "Regrettably, {city} is fully booked in {month}. Is {other_city} possible?",
        "I am afraid all the hotels in {city} are fully booked in {month}. Is another city possible?",
        "Unfortunately I found no free rooms in {city} in {month}. Do you want to try {other_city}?",
    ];
    DECLINE_HOTEL: [
        "I am sorry, {full_hotel} is full in {month}. {hotel} is free, for {price} euros a night.",
        "Sorry, {full_hotel} has no rooms in {month}. How about {hotel} at {price} euros a night?",
        "Unfortunately {full_hotel} is full in {month}. I can offer {hotel} for {price} euros a night.",
        "I am afraid {full_hotel} is full in {month}. Would you like {hotel} for {price} euros a night?",
        "{full_hotel} is full in {month}, sorry. There is also {hotel} at {price} euros a night.",
        "I am sorry, nothing is free at {full_hotel} in {month}. {hotel} has rooms for {price} euros a night.",
        "Sorry, no room is free at {full_hotel} in {month}. Would {hotel} at {price} euros a night work?",
        "Unfortunately there are no rooms at {full_hotel} in {month}. {hotel} costs {price} euros a night.",
    ], [
        "I am afraid {full_hotel} is fully booked in {month}. I would suggest {hotel}, at {price} euros a night.",
        "I am sorry, but {full_hotel} has nothing left in {month}. {hotel} is available for {price} euros a night.",
        "Regrettably, {full_hotel} is fully booked in {month}. Would {hotel} suit you, at {price} euros a night?",
        "Unfortunately no rooms are left at {full_hotel} in {month}. Another choice is {hotel}, {price} euros a night.",
    ];
    DECLINE_OTHER: [
        "I am sorry, there is no other hotel in {city}.",
        "Sorry, there are no other hotels free in {city}.",
        "Unfortunately there is nothing else in {city}.",
        "I am afraid there are no other hotels in {city}.",
        "Sorry, I have no other hotel in {city}.",
        "I could not find another hotel in {city}, sorry.",
        "Unfortunately there is no other hotel in {city}.",
        "I am sorry, I could not find any other hotel in {city}.",
    ], [
        "I am afraid nothing else is available in {city}.",
        "Regrettably, no other hotel in {city} is available.",
        "I am sorry, but that is all there is in {city}.",
        "Unfortunately I found no other hotel in {city}.",
    ];
    ANYTHING_ELSE: [
        "Is there anything else I can do for you?",
        "Can I help you with anything else?",
        "You are welcome. Is there anything else?",
        "Do you need anything else?",
        "My pleasure. Anything else I can help with?",
        "Would you like anything else?",
        "Gladly. Can I do anything else for you?",
        "Is there something else I can help you with?",
    ], [
        "Glad to help. Do you need help with anything else?",
        "May I help you with anything else today?",
        "You are very welcome. Anything else I can do?",
        "Will there be anything else?",
    ];
    CLOSE: [
        "Thank you and goodbye!",
        "Have a nice day, goodbye!",
        "Enjoy your stay. Goodbye!",
        "Thank you, have a great day!",
        "Goodbye, and have a good trip!",
        "You are welcome. Have a nice day!",
        "Thanks for booking with us. Goodbye!",
        "Have a pleasant trip. Bye!",
    ], [
        "Thank you for contacting us. Have a lovely day!",
        "Goodbye, and enjoy your trip!",
        "All the best, and have a good day!",
        "It was a pleasure. Have a wonderful day!",
    ];
    OUT_OF_SCOPE: [
        "I am sorry, I can only help with hotels.",
        "Sorry, I cannot help with that. I only handle hotel stays.",
        "That is outside what I can do; I only book hotels.",
        "I am afraid I can only help you with hotel bookings.",
        "Sorry, I am only able to help with hotels here.",
        "I am not able to help with that, only with hotel stays.",
        "I can only assist with hotel bookings, sorry.",
        "That is not something I can help with. I only do hotel bookings.",
    ], [
        "Sorry, that is beyond what I can do; I only help with hotel stays.",
        "I am afraid I cannot answer that, as I only handle hotels.",
        "I am only able to assist you with a hotel stay.",
        "Unfortunately I can only help with hotel matters.",
    ];
}
