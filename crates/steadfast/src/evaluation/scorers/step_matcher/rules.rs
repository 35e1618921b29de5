//! The rules of the step matcher, in the order they are tried; the first that holds decides.
//!
//! They were written from the training parts of SGD and STAR only. A rule looks at the reply in
//! lower case with its spacing tidied (see [`super::tidy`]); `unless` holds back a rule that would
//! otherwise be too eager.

use crate::evaluation::items::Step;

/// One rule: the reply takes `step` if `pattern` is found in it and `unless` is not.
pub(super) struct Rule {
    pub step: Step,
    pub pattern: &'static str,
    pub unless: &'static str,
}

const fn rule(step: Step, pattern: &'static str, unless: &'static str) -> Rule {
    Rule {
        step,
        pattern,
        unless,
    }
}

/// Rules tried before a question about a slot is looked for.
pub(super) const BEFORE_ASK: &[Rule] = &[
    rule(
        Step::OutOfScope,
        r"(only|just) (able to |here to )?(help|assist)|can (only|just) (help|assist)|(can't|cannot|unable to|not able to) (help|assist)( you)? with (that|this)|(don't|do not|didn't) (quite )?understand|outside (of )?(what|my|the)|not something i can|beyond what i",
        r"",
    ),
    // One or more hotels are put forward, in words that leave no doubt.
    rule(
        Step::Offer,
        r"\b(found|find|locate|located) (you )?(a total of )?(\d+|one|another|several|many|a (nice|great|good|lovely|suitable|place|house|hotel|total|few)|the '|'|you a)|(was|am|were) able to (find|locate)|managed to (find|locate)|(has|have) (a|one) room (free )?(for|at)\b|i can offer|costs? \d[^?]*(book|like|take|good)[^?]*\?|match(es|ing|ed)? (your|the|to)|meet your|\d+ (available )?(hotels?|houses?|places?|options?|homes?|results?|properties|listings|choices|matches)\b|^(\w+[,.!]? ){0,3}(how about|what about|have you considered|there('s| is) (also )?(a|an|another|one) )|how (does|do|would|is) .{0,80}sound|what (do )?you think|(rat(ed|ing|ings)( of| is| it)? \d|\d stars?)[^.!]{0,60}\?|\d[- ]stars?\b[^.!]{0,60}\?|^(sure[,!.]* |ok\w*[,!.]* )?(would|do|will|does) [^.?!]{3,80}(rated|rating of|a rating|\d[- ]star)|suits? (you|your)|(nice|good|great|another|other|fine|excellent|lovely|perfect) (choice|option|one|hotel|place|house|\d[- ]star)|also (a|an) \d|(i|we|i'd|we'd|would|also|highly|could|can)( would| can| could| also| highly| might)? (recommend|suggest)\b",
        r"\b(no|not|none|nothing|unable|unfortunately|sorry|unavailable)\b|n't\b|(keep|continue) (searching|looking)|(would|do|shall|should|can|could) (you (like|want)|i) .{0,12}(to )?(find|search)|(city|area|hotel|price|rating|name) (would|do|are|will) you|(check(ing)? ?in|arriv\w+|leav\w+|check(ing)? ?out)\b|please confirm|reserv(ed|ation) (is|has|for)|special request|have a |(how|what) about (your|the|a|when|where|which)? ?(check|date|price|city|area|number|name|time|rating)",
    ),
    // Leave to book is asked for: one word from the customer and the booking is made.
    rule(
        Step::Confirm,
        r"(would|do|did|will|are) you (still )?(like|want|wish|care|prefer|ready|interested|looking|willing|going|need)[^.!?]{0,25} (to |in |for |go ahead|and |with )*(make|making|book|booking|reserve|reserving|a reservation|the reservation|continue|proceed|complete|rent|renting|go ahead|move forward)\b|(shall|should|can|could|may|do|will|must|might|want me to|like me to|need to|have me) (i|we|you|now)?[^.!?]{0,25}\b(book|reserve|make|proceed|continue|go ahead|place|complete|confirm|finali[sz]e|submit)\b[^.!]*\?|(want|like|need|wish) (me |us )?to (go ahead and |now )?(book|reserve|make (a|the|your|that|this|those)|proceed)|interested in (making|booking|reserving|renting)|ready to (book|reserve|make)|want (me|us) to (book|reserve|make)|(book|reserve|make (a|the|your) (reservation|booking))[^.!?,]{0,45}\?$|go ahead (with|and)|proceed (with|to)",
        r"\b(when|which|how many|how long|how may|what|where)\b|(reservation|booking|room) (has|is|was) |\bfailed\b|another (date|hotel|one)|different|successfully|any (other|more)|searching|looking for|search|\bname\b|(particular|specific) hotel|let me know|car\b|dinner|star",
    ),
    // A reading back or a plea for confirmation, however the sentence ends.
    rule(
        Step::Confirm,
        r"(please|can you|could you|kindly|you) (please |kindly |can you )?(confirm|verify|affirm|ensure)\b|to review|let's review|review (the|your)|once again|following details|(let me|i'd like to|i want to|want to|just to|i'll|let's|like to|need to|to) (just |quickly |re-?)?(confirm|verify|double[- ]check|make sure)|(is|are|was|were|does|do|did) (this|that|it|these|those|they|everything|the following|all of this|all of that|the details?|the information|all|i)\b[^.?!]{0,40}\b(correct|right|ok|okay|good|accurate|alright|fine|understand|sound|works?)\b|\b(correct|right|ok|okay|yes|agreed|sound good|sounds good|alright)\?|^confirm|confirming|confirm (the|your|these|if|that|whether|it)|(do|did|have) i (have|get|got|understand|heard?)\b[^.!]{0,60}\b(correct|right)",
        r"(has|have) been (made|booked|confirmed|reserved)|successfull?y|(reservation|booking) (is|was|has been) (now )?(confirmed|made|booked|set)|if you (confirm|want)|(glad|happy|pleased|can) (to )?confirm (that )?(the|a|your|they|it|there)\b|charged|star\b|rat(ed|ing)|(confirm|verify),? (what|which|when|your (check|date|name|arriv|depart))",
    ),
    // It did not work: no room, no hotel, a booking that failed.
    rule(
        Step::Decline,
        r"\b(failed|fail|unsuccessful|not successful|wasn't successful|fully booked|sold out|unavailable|no vacanc\w+)\b|\bno (rooms?|hotels?|houses?|places?|one|availability|available|match\w*|results?|services?|options?|guest ?houses?|such|free)\b|(is|are) (all )?(full|taken)\b|no other (hotel|room|house)s?|only (hotel|room|one) (that is )?(free|available|left)|nothing (else )?(is )?(available|found|match\w*|free|that)|(could|can|was|were|am|did|does|do|have|has)( ?not|n't) (been )?(able to )?(be )?(find|found|book|booked|make|made|reserve|reserved|complete|completed|confirm|confirmed|process|processed|get|go through|find any|place|placed|secure|match|any|locate|available|accept your|perform|able)\b|(cannot|can't|unable to|not able to) (find|book|make|reserve|complete|confirm|process|get|place|secure|locate|perform|be)|(is|are|isn't|aren't|not|n't|none) (is |are )?(currently )?available\b|there (is|are) no\b|there (isn't|aren't)( any)?|there was (an? )?(issue|problem|error)|(an?|some) problem (with|while|making|book)|(reservation|booking) (didn't|did not|was not|wasn't|has not|hasn't|is not|isn't|couldn't|could not|cannot|can't)|not go through",
        r"^(how|do|does|is|are|what|which|when|any|would|could|can|may|shall)\b.*\?|(has|have) been (made|booked|confirmed|reserved)|(reservation|booking|room|house|place|it) (is|was|has been|is all) (now |all |successfully )?(confirmed|made|booked|set|placed|reserved|complete)|(\bavailable (rooms?|hotels?|houses?|places?|for))|(are|is) available|\d+ (hotels?|houses?|places?)|i(')?(ve| have)? (found|booked|reserved)|wi-?fi|laundry|\bpets?\b|smok|internet|not a problem|no problem",
    ),
    // It worked.
    rule(
        Step::Book,
        r"successfull?y? |\bsuccessful(ly)?\b|\bsucces+ful|(reservation|booking|reservations|room|rooms|house|hotel|place|it|stay|accommodations?|everything|request|you|you're|they|apartment|home|that|this|all)('s|'re|s)? (is |are |was |were |has |have |had |been |be |being |now |all |already |officially |just |for you |at [^.?!]{0,60} |for [^.?!]{0,40} |in [^.?!]{0,40} |with [^.?!]{0,40} )+(confirmed|booked|made|set|placed|reserved|complete|completed|done|accepted|finalized|processed|secured|approved|ready|submitted|good to go|scheduled|arranged|sent|success)\b|\b(reserved|booked|confirmed|scheduled|arranged|secured) (it|you|a|the|your|that|this|those|for|room|\d)|i('ve| have|'ll have|)? (just |now |already |gone ahead and |managed to |successfully |went ahead and |been able to |was able to )*(booked|reserved|made|reserve|completed|placed|confirmed|secured|submitted|finalized|finished) |(reservation|booking|reservations|request|room|booked|done|all) ?(is |has been |was )?(now )?(confirmed|done|made|complete|completed|booked|set|placed|successful|success|accepted|reserved)\b|reference (number|no|code|#|is)|(sent|passed( on)?|forwarded) (on )?(the|your) request|you're (all )?(set|booked|confirmed)|you are (all )?(set|booked|confirmed|good)|^(done|booked|confirmed|reserved)\b|have you (down|booked|all set)|knock on the door|(was|is) a success|confirmation (number|code)",
        r"\?.*\?$|^(would|do|shall|should|can|could|may|will|how|when|what|want) [^.!]*\?$|(to|be|get) (booked|reserved|made)\?|if you('d| would)? like",
    ),
    // Details read back without a question: a day, and what happens on it.
    rule(
        Step::Confirm,
        r"(check(ing)?[- ]?(in|into|out)|arriv\w*|leav\w*|depart\w*|start\w*|from|going|stay\w*|until|date|dates)\b[^?!]{0,40}\b(today|tomorrow|tonight|(next|this) \w+day|\w+day|(january|february|march|april|may|june|july|august|september|october|november|december) \d+|\d+(st|nd|rd|th))\b|(i have|you want|you'd like|you would like|you need|you're|you are|i'll|i will|that's|so|that is|it's|reserv\w+|book\w*)[^.!?]{0,30}\b(\d+|one|two|three|four|five) (hotel )?(rooms?|people|person|persons|adults?|guests?)\b|^(so|alright|okay|ok|sure|great)?[,. ]*(so )?(you|i|a|the|your)?('d like|'ll| want| would like| need| will| have| are)?( to)?( be)?( reserv\w+| book\w*| a room)? for \d+ (days?|nights?)",
        r"^(i am|i'm|we are|hi|hello|my)|how (many|long)|\b(wi-?fi|laundry|pets?|smok)|total (price|cost)|\$|what (day|date)|which (day|date)|when |found|sorry|unfortunately|n't\b|enjoy|goodbye|bye|(have|hope) (a|you)",
    ),
    rule(
        Step::AnythingElse,
        r"(anything|something|what|any other|any more|any further|any additional|other|further|additional|else|any)( \w+)? ?(else|help|assistance|assist|questions?|way|things?|that you need|requests?|queries|inquir\w+|concerns?|information)\b[^.!]*\?|(anything|something|what|how|where|who) else\b|(any|some) (other|more|further) \w+ ?(i|you|we|that)?[^.]*\?|search (for )?(any )?(more|other|another)|(help|assist|do)[^.?!]{0,20}(further|else|more|again)\b|further (help|assist)|can i (be of|assist|help)( you)? (with|in|any)?[^.!]*(further|more|other|else|another)|is that (all|it|everything)|will that be all|(that|would that|will that) be (all|it|everything)|more (help|assistance|information)\?|(what|how) (more|further|else)|still need my|(keep|continue) (searching|looking)",
        r"let me know (if|when)[^?]*$|special request|how many|would you like to (change|try)|else (going|travel|staying|coming|joining|with you)|more (than one )?(people|person|guests)",
    ),
];

/// Rules tried after no question about a slot was found.
pub(super) const AFTER_ASK: &[Rule] = &[
    // A question about a hotel or a booking is answered: a number to call, a cost, an address, a service.
    rule(
        Step::Inform,
        r"\b(wi-?fi|pets?|laundry|smok\w+|internet|parking|breakfast|phone|telephone|contact|address|a night there is|reach (them|it)|call (them|it)|per night|total|costs?|price (is|of|range|per)|charg\w+|dollars|average rating of)\b|\$ ?\d|\+\d|^(yes|no|sure|certainly|of course)?[,.]* ?(the (hotel|house|place|property|location|home|room|street|rating)|it|they|its)('s|'re| is| are| has| have)? (located |situated |called |rated |at |on |in |a |an |\d|north|south|east|west|cent|rat|address)",
        r"\b(found|recommend|suggest|option|another|how about|there('s| is| are) (a|an|one|\d+|another|many|several) (hotel|house|place|nice|good|great|\d)|also)\b|(i|we) have (a|an|the|one|another) |called [a-z]|(average rating|price (category|range)).*(average rating|price (category|range))|pleasure|enjoy|have a (good|great|nice)",
    ),
    // One or more hotels are put forward.
    rule(
        Step::Offer,
        r"\b(found|find|locate|located) (a|an|the|one|you|this|that|\d+|another|many|several|some|two|three|four|five|six|seven|eight|nine|ten|for|'|it|these|\w+)\b|there('s| is| are| were|'re) (also |currently |only |actually |about |around |a |an |one |another |\d+|many|several|some|two|three|four|five|six|seven|eight|nine|ten|this|the|over|more|plenty|lots|up|in|at|house|hotel|place)|how about|what about|(i|we|i'd|we'd|would|also|highly|could|can)( would| can| could| also| highly| might)? (recommend|suggest|offer|propose)|(i|we)( also| do|'ve| have)?( got| have)? (have|got|see|show|know) (a|an|one|\d+|another|the|this|several|many|some|two|three|four|five|six|seven|eight|nine|ten|you)\b|another (option|one|hotel|house|place|good|possib\w+|choice|is|nice)|(one|option|choice)s? (is|are|would be|could be|i can|that|called|located|named|at|in) |(hotel|house|place)s? (called|named|that|at|in|with) |is (rated|also)|with (a )?(rating|rated)|reccomm?end|feel about|has (a |an )?(\d|rating)|seems|(do|would|are|will|does|is|could|might) (you|it|this|that|they) (be |also )?(like|prefer|consider|want|interested|okay|suit|work|interest)[^.!]*\?|interested in|try (the|out|out the)|have you (heard|considered|thought)|check out (the )?[a-z]+|you (can|could|might|may) (try|stay|check|like|want|consider|prefer|also|go)|(called|named) |(available|matching|options?|suitable|matches)",
        r"^(their|its|the (phone|contact|number|address|total|price|cost|room|telephone))|(phone|contact|telephone) (number|no)|\+\d|how (can|may) i (help|assist)|per night|in total|total (price|cost|is|of \$)",
    ),
    rule(
        Step::Close,
        r"\b(good ?bye|bye|bye-bye|farewell|take care)\b|have (yourself )?(fun|(a|an|the) (\w+ )?(good|safe|great|nice|day|stay|trip|time|one|pleasant|wonderful|lovely|fun|blast|fantastic|amazing))\b|\benjoy\b|\bcheers\b|meet again|here to (assist|help)|let me know (if|when)|pleasure (being|to|assist|help|serv|was)|been a pleasure|(my|a|our|the) pleasure|you're (very |most |quite |always )?welcome|you are (very |most |quite |always )?welcome|^(you )?welcome|safe (travels?|trip|journey|flight)|(see|talk to) you|no problem|not a problem|(thank|thanks)( you)?|glad (to|i|that|we)|happy to (help|have|be|assist)|(great|good|nice|wonderful|lovely|pleasant|safe|fantastic|amazing|excellent|happy) (day|stay|trip|time|one|night|evening|weekend|journey|vacation|holiday|afternoon|morning|travels?|rest)|anytime|any time|don't mention|hope you|wish you|feel free",
        r"(reservation|booking) (is|was|has)|how (can|may) i (be of )?(help|assist)",
    ),
    rule(
        Step::Greet,
        r"how (can|may|could|might|do|should) (i|we) (be of )?(help|assist|service|do)|what (can|may) (i|we) (do|help|assist)|(help|assist) you( with)?( today)?\?|^(hello|hi|hey|welcome|greetings|good (morning|afternoon|evening))\b",
        r"",
    ),
    // What is left is an answer if it says something of a hotel, a price, a number or a service.
    rule(
        Step::Inform,
        r"\d|(wi-?fi|pets?|laundry|smok\w+|internet|parking|breakfast|pool|gym|spa|phone|number|address|price|cost|star|rated|rating|located|location|expensive|cheap|moderate|free|room|hotel|house|place|check-?(in|out)|serv\w+|offer|allow\w*|permit\w*|welcome|called)|^(yes|no|yep|yeah|nope)\b",
        r"",
    ),
];

/// What makes a sentence a question or a request for something.
pub(super) const ASKING: &str = r"\?|^(ok\w*,? |sure,? |alright,? |great,? |and |also,? |well,? )*(what|when|where|which|how|who|any|do|does|can|could|may|will|would|is|are|in|for|on|at|please|tell|let|give|provide|specify|kindly|i need|i'll need|need|enter|share|state|pick|choose)\b|\b(please|tell me|let me know|let us know|give me|provide|specify|may i know|i('ll| will)? (also )?(need|require)|need (to know|your|the|a)|(like|want|love) to know|i can narrow|know (the|your|what|when|how)|(what|when|which|how many|how long) (is|are|will|would|do|does|city|date|day|hotel|area|people|nights|days))\b";

/// What names the day of arrival even in a question that also names the day of leaving; without it
/// "When do you check out?" would ask for both.
pub(super) const ARRIVAL: &str = r"check(ing)?[- ]?in\b|check in|arriv|\bdates\b|\bdays\b.*\b(in|and)\b|start|from (when|what|which)";

/// For each slot, how its name is spoken when it is asked for.
pub(super) const SLOTS: &[(&str, &str)] = &[
    (
        "checkout",
        r"check(ing)?[- ]?out|check(ing)? in (and|or|&) (check(ing)? )?out|depart\w*|leav(e|ing)\b|(until|till) (when|what|which)|end date|(when|until).*return|last (day|night)|what dates|which dates|exact dates",
    ),
    (
        "date",
        r"check(ing)?[- ]?(in|into)\b|arriv(e|al|ing)\b|(which|what) (day|date)s?\b|\bdates?\b|\bwhen\b|start(ing)? (date|day|from|on)|from when|what time (period|frame)",
    ),
    (
        "nights",
        r"how (long|may days|many (days?|nights?))|(number|amount) of (days?|nights?)|length of|(duration|long).*(stay|reserv|book)|how much time|number of .{0,20}(nights?|days?)|for how (long|many)$|(days?|nights?) of (stay|your)|how many .{0,12}(days|nights)",
    ),
    (
        "guests",
        r"how (may|many|much) (other |more |total )?(people|persons?|guests?|adults?|travell?ers?|of you|individuals|members|are|will be|in (your|the))|(number|amount) of (people|persons?|guests?|adults?|travell?ers?|individuals)|(group|party)\b.*\b(size|many|big|large|people|consist)|(how (big|large)|size of|many).*(group|party)|party size|how many (are|will)|(anyone|anybody|someone|others?|other people|more than one) |by yourself|for how many\b\W*$|bringing|(just|only) (you|yourself)|number of (your )?(party|group)",
    ),
    (
        "rooms",
        r"how (may|many) (hotel )?rooms|(number|amount|quantity) of (hotel )?rooms|rooms? (do you|would you|will you)|how many .{0,25}rooms?",
    ),
    (
        "room_number",
        r"room (number|no\b)|(what|which) room\b|number of (your|the) room$",
    ),
    (
        "name",
        r"(your|full|first|last|guest'?s?|under what|under which|under whose|whose|customer|the) name\b|name (is|should|shall|for) (the )?(reserv|book|under)|who (am i|is this|is the|is it)|name,? please|in what name|which name|what name",
    ),
    (
        "hotel",
        r"(which|what|particular|specific|preferred|any|prefer\w*|certain|name of (the|your|a)|at what|at which|a) (specific |particular |preferred )?(hotel|place to stay|guest ?house)s?\b|hotel'?s? name|name of (the |your )?hotel|preferen\w+ (in|for|of|on|regarding|about) (the |a |any |an )?hotel|hotels? (do|would|are|will|did|in mind|prefer|you are|you're)|our hotels|where (are|will|would) you (currently )?(be )?staying",
    ),
    (
        "city",
        r"\b(city|town|metropolis|area|location|destination|region|neighbou?rhood|part of)\b|\bwhere\b|(which|what) place\b|district|side of town|whereabouts?",
    ),
    (
        "price",
        r"price (range|category|point)|(what|which|any|your|preferred|particular|certain|by|different|location,) (price|budget|cost)|budget|how much (do|are|would|can) you|expensive or|price or",
    ),
    (
        "rating",
        r"rating ?wise|(what|which|any|particular|preferred|minimum|certain|prefer\w*|specific) (average |star |minimum )?(ratings?|stars?)|star rating|how many stars|(or|about|on|for) (the )?(rating|stars)",
    ),
    (
        "time",
        r"(what|which|preferred|particular) time|at what hour|time (would|should|do|shall|for)|what hour",
    ),
    (
        "request",
        r"special (requests?|requirements?|needs?|wishes|accommodations?)|(your|any|what|what's your|other) (service )?requests?\b|(what|which) service|requests? (now|for|do|that)|what (do you need|would you like) (the|us|from)|what can (we|i) (bring|get) you",
    ),
    ("smoking", r"smok\w+"),
    (
        "features",
        r"(need|require|want|prefer\w*|like|looking for|about|have) .{0,30}(wi-?fi|internet|parking|pets?|pet[- ]friendly|laundry|breakfast|pool|gym|amenit\w+|facilit\w+|features?)|(wi-?fi|internet|parking|pets?|laundry|breakfast)\?|(type|kind) of (hotel|accommodation|place|lodging|room)|guest ?house or",
    ),
    (
        "customer_id",
        r"(customer|member\w*|loyalty|account|client|guest) (id\b|number|identification|no\b)|\bid (number|please)",
    ),
];
