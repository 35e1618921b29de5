"""Writes general_questions.jsonl from the fact tables below: `python3 write_general_questions.py`.

Every fact is a well-known and stable one. Wrong choices come from the same table, so that they are of
the right kind; the place of the right choice follows from a hash, so that it has no favourite.
"""

import hashlib
import json
from pathlib import Path


def number(*parts):
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")


def shuffled(texts, key):
    return sorted(texts, key=lambda text: number(key, text))


ROWS = []


def choice(question, right, wrong, family):
    choices = shuffled([right, *wrong], question)
    ROWS.append({"question": question, "choices": choices, "answer": choices.index(right), "cluster": family})


def from_table(table, template, family, skip=()):
    """One question a pair; wrong choices are other answers of the table."""
    answers = sorted({answer for _, answer in table})
    for subject, answer in table:
        others = [other for other in answers if other != answer and other not in skip]
        choice(template.format(subject), answer, shuffled(others, subject)[:3], family)


def short(question, answer, *aliases):
    ROWS.append({"question": question, "answer": answer, "aliases": list(aliases)})


def cloze(context, continuation):
    ROWS.append({"context": context, "continuation": " " + continuation})


def opened(instruction, response, context=""):
    ROWS.append({"instruction": instruction, "context": context, "response": response})


from_table(
    [("France", "Paris"), ("Italy", "Rome"), ("Japan", "Tokyo"), ("Egypt", "Cairo"), ("Russia", "Moscow"),
     ("Germany", "Berlin"), ("Greece", "Athens"), ("Norway", "Oslo"), ("Poland", "Warsaw"), ("Cuba", "Havana"),
     ("Peru", "Lima"), ("Kenya", "Nairobi"), ("Thailand", "Bangkok"), ("Hungary", "Budapest"),
     ("Ireland", "Dublin"), ("Sweden", "Stockholm")],
    "What is the capital of {}?", "capitals")
from_table(
    [("cow", "calf"), ("dog", "puppy"), ("cat", "kitten"), ("sheep", "lamb"), ("horse", "foal"), ("goat", "kid"),
     ("duck", "duckling"), ("frog", "tadpole"), ("kangaroo", "joey"), ("goose", "gosling")],
    "What is a young {} called?", "young animals")
from_table(
    [("oxygen", "O"), ("hydrogen", "H"), ("gold", "Au"), ("silver", "Ag"), ("iron", "Fe"), ("sodium", "Na"),
     ("carbon", "C"), ("lead", "Pb"), ("helium", "He"), ("copper", "Cu")],
    "Which symbol stands for the element {}?", "elements")
from_table(
    [("Hamlet", "William Shakespeare"), ("Pride and Prejudice", "Jane Austen"), ("Oliver Twist", "Charles Dickens"),
     ("War and Peace", "Leo Tolstoy"), ("Don Quixote", "Miguel de Cervantes"), ("The Odyssey", "Homer"),
     ("Frankenstein", "Mary Shelley"), ("Moby-Dick", "Herman Melville"), ("The Divine Comedy", "Dante Alighieri"),
     ("Treasure Island", "Robert Louis Stevenson")],
    "Who wrote {}?", "authors")
from_table(
    [("eagle", "bird"), ("salmon", "fish"), ("lizard", "reptile"), ("ant", "insect"), ("dolphin", "mammal"),
     ("penguin", "bird"), ("crocodile", "reptile"), ("bat", "mammal"), ("butterfly", "insect"), ("shark", "fish")],
    "What kind of animal is a {}?", "animal classes")
from_table(
    [("temperature", "thermometer"), ("time", "clock"), ("weight", "scale"), ("air pressure", "barometer"),
     ("earthquakes", "seismograph"), ("direction", "compass"), ("the speed of a car", "speedometer"),
     ("length", "ruler")],
    "Which instrument is used to measure or find {}?", "instruments")
from_table(
    [("Brazil", "Portuguese"), ("Mexico", "Spanish"), ("Austria", "German"), ("Egypt", "Arabic"),
     ("Japan", "Japanese"), ("Iran", "Persian"), ("Australia", "English"), ("Turkey", "Turkish")],
    "Which language do most people speak in {}?", "languages")
from_table(
    [("Brazil", "South America"), ("India", "Asia"), ("Nigeria", "Africa"), ("Spain", "Europe"),
     ("Canada", "North America"), ("Argentina", "South America"), ("Vietnam", "Asia"), ("Morocco", "Africa")],
    "On which continent is {}?", "continents")
for question, right, *wrong in [
    ("Which planet is closest to the Sun?", "Mercury", "Venus", "Saturn", "Neptune"),
    ("Which planet is the largest in the solar system?", "Jupiter", "Mars", "Earth", "Venus"),
    ("Which planet is known for its bright, wide rings?", "Saturn", "Mercury", "Mars", "Venus"),
    ("What do plants take in from the air to make food?", "carbon dioxide", "helium", "nitrogen", "neon"),
    ("Which gas do people need to breathe?", "oxygen", "helium", "neon", "carbon monoxide"),
    ("What is frozen water called?", "ice", "steam", "sand", "salt"),
    ("Which part of a plant takes in water from the soil?", "the roots", "the flowers", "the seeds", "the fruit"),
    ("Which organ pumps blood through the body?", "the heart", "the liver", "the stomach", "the lungs"),
    ("Which organ do people think with?", "the brain", "the kidneys", "the heart", "the skin"),
    ("What force pulls objects toward the Earth?", "gravity", "friction", "magnetism", "wind"),
    ("At sea level, at what temperature does water boil?", "100 degrees Celsius", "10 degrees Celsius", "50 degrees Celsius", "500 degrees Celsius"),
    ("How long does the Earth take to go around the Sun?", "about a year", "about a day", "about a week", "about a month"),
    ("How long does the Earth take to turn once on its axis?", "about a day", "about a year", "about a month", "about an hour"),
    ("What is the center of an atom called?", "the nucleus", "the electron", "the shell", "the orbit"),
    ("Which of these is a source of renewable energy?", "wind", "coal", "oil", "natural gas"),
    ("Which of these conducts electricity best?", "copper", "wood", "rubber", "glass"),
    ("Which of these is attracted by a magnet?", "an iron nail", "a wooden spoon", "a glass bottle", "a paper cup"),
    ("What do bees make?", "honey", "milk", "silk", "butter"),
    ("What do caterpillars turn into?", "butterflies or moths", "bees", "spiders", "worms"),
    ("How many legs does a spider have?", "eight", "four", "six", "ten"),
    ("How many legs does an insect have?", "six", "eight", "four", "ten"),
    ("Which animal is the largest that has ever lived?", "the blue whale", "the elephant", "the giraffe", "the great white shark"),
    ("Which land animal is the tallest?", "the giraffe", "the elephant", "the horse", "the camel"),
    ("What do herbivores eat?", "plants", "meat", "stones", "fish"),
    ("What is the process by which plants make food from light?", "photosynthesis", "digestion", "evaporation", "erosion"),
    ("What is it called when a liquid turns into a gas?", "evaporation", "freezing", "melting", "condensation"),
    ("Which season follows winter?", "spring", "summer", "autumn", "the rainy season"),
    ("What causes day and night on Earth?", "the Earth's rotation", "the Moon's orbit", "the clouds", "the tides"),
    ("What mainly causes the ocean's tides?", "the Moon's gravity", "the wind", "fish", "rain"),
    ("Which sense do people use with their ears?", "hearing", "sight", "smell", "taste"),
    ("What do we call a scientist who studies stars and planets?", "an astronomer", "a biologist", "a geologist", "a chemist"),
    ("What do we call a doctor for teeth?", "a dentist", "a surgeon", "a nurse", "a pharmacist"),
    ("Which metal is liquid at room temperature?", "mercury", "iron", "gold", "aluminium"),
    ("What is a shape with three sides called?", "a triangle", "a square", "a circle", "a hexagon"),
    ("What is a shape with six sides called?", "a hexagon", "a pentagon", "an octagon", "a triangle"),
    ("How many degrees are there in a right angle?", "90", "45", "180", "360"),
    ("Which of these numbers is prime?", "7", "9", "15", "21"),
    ("What is half of 50?", "25", "20", "30", "15"),
    ("What is 8 times 7?", "56", "54", "48", "64"),
    ("What is the square root of 81?", "9", "8", "7", "18"),
    ("How many minutes are there in an hour?", "60", "30", "100", "24"),
    ("How many days are there in a leap year?", "366", "365", "364", "360"),
    ("Which month comes right before July?", "June", "August", "May", "September"),
    ("Which ocean lies between Africa and the Americas?", "the Atlantic Ocean", "the Pacific Ocean", "the Indian Ocean", "the Arctic Ocean"),
    ("Which is the largest ocean?", "the Pacific Ocean", "the Atlantic Ocean", "the Indian Ocean", "the Arctic Ocean"),
    ("Which is the highest mountain above sea level?", "Mount Everest", "Mont Blanc", "Mount Fuji", "Kilimanjaro"),
    ("In which country are the pyramids of Giza?", "Egypt", "Mexico", "India", "Greece"),
    ("In which city is the Eiffel Tower?", "Paris", "London", "Rome", "Berlin"),
    ("In which country is the Great Wall?", "China", "Japan", "India", "Mongolia"),
    ("Which river flows through London?", "the Thames", "the Seine", "the Rhine", "the Danube"),
    ("Who painted the Mona Lisa?", "Leonardo da Vinci", "Vincent van Gogh", "Pablo Picasso", "Claude Monet"),
    ("Who was the first person to walk on the Moon?", "Neil Armstrong", "Yuri Gagarin", "Isaac Newton", "Amelia Earhart"),
    ("Who was the first president of the United States?", "George Washington", "Abraham Lincoln", "John F. Kennedy", "Thomas Edison"),
    ("Who developed the theory of relativity?", "Albert Einstein", "Charles Darwin", "Louis Pasteur", "Galileo Galilei"),
    ("In which year did the Second World War end?", "1945", "1918", "1939", "1989"),
    ("How many players of one team are on the field in soccer?", "11", "5", "7", "15"),
    ("How many strings does a violin have?", "four", "six", "three", "eight"),
    ("Which of these instruments has keys?", "the piano", "the violin", "the drum", "the flute made of bamboo"),
    ("Which colour do you get by mixing blue and yellow paint?", "green", "purple", "orange", "pink"),
    ("Which colour do you get by mixing red and yellow paint?", "orange", "green", "purple", "grey"),
    ("What is bread mainly made from?", "flour", "rice", "sugar", "eggs"),
    ("From which fruit is wine made?", "grapes", "bananas", "lemons", "melons"),
    ("From what is cheese made?", "milk", "flour", "honey", "potatoes"),
    ("What is the opposite of ancient?", "modern", "old", "huge", "quiet"),
    ("What is the opposite of expand?", "contract", "grow", "explain", "repeat"),
    ("Which word means the same as rapid?", "fast", "slow", "calm", "heavy"),
    ("Which word means the same as begin?", "start", "finish", "wait", "forget"),
    ("What is the plural of mouse?", "mice", "mouses", "mousees", "meese"),
    ("What is the past tense of go?", "went", "goed", "gone to", "goes"),
    ("Which of these words is a verb?", "run", "table", "blue", "slowly"),
]:
    choice(question, right, wrong, question)

for row in [
    ("How many continents are there, counting Europe and Asia apart?", "seven", "7"),
    ("What is the currency of Japan?", "yen", "the yen", "Japanese yen"),
    ("What is the currency of the United Kingdom?", "pound", "pound sterling", "the pound", "British pound"),
    ("What is the currency of India?", "rupee", "the rupee", "Indian rupee"),
    ("What is the currency of the United States?", "dollar", "US dollar", "the dollar"),
    ("What is the capital of Spain?", "Madrid"),
    ("What is the capital of Portugal?", "Lisbon"),
    ("What is the capital of Canada?", "Ottawa"),
    ("What is the capital of Australia?", "Canberra"),
    ("What is the capital of China?", "Beijing", "Peking"),
    ("What is the capital of South Korea?", "Seoul"),
    ("What is the capital of Argentina?", "Buenos Aires"),
    ("What is the capital of Austria?", "Vienna"),
    ("What is the capital of Denmark?", "Copenhagen"),
    ("What is the capital of Finland?", "Helsinki"),
    ("What is the capital of the United Kingdom?", "London"),
    ("What is the capital of India?", "New Delhi", "Delhi"),
    ("What is the capital of Turkey?", "Ankara"),
    ("What is the chemical formula of water?", "H2O"),
    ("What is the chemical formula of table salt?", "NaCl"),
    ("Which element has the atomic number 1?", "hydrogen"),
    ("Which gas makes up most of the Earth's air?", "nitrogen"),
    ("What is the nearest star to the Earth?", "the Sun", "Sun"),
    ("Which planet is called the Red Planet?", "Mars"),
    ("On which planet do we live?", "Earth", "the Earth"),
    ("What natural satellite goes around the Earth?", "the Moon", "Moon"),
    ("How many planets are there in the solar system?", "eight", "8"),
    ("How many colours are traditionally named in the rainbow?", "seven", "7"),
    ("How many months are there in a year?", "twelve", "12"),
    ("How many seconds are there in a minute?", "sixty", "60"),
    ("How many hours are there in a day?", "twenty-four", "24", "twenty four"),
    ("How many days are there in a week?", "seven days", "7", "seven"),
    ("How many years are there in a century?", "one hundred", "100", "a hundred"),
    ("How many letters are there in the English alphabet?", "twenty-six", "26", "twenty six"),
    ("How many sides does a square have?", "four", "4"),
    ("How many sides does a pentagon have?", "five", "5"),
    ("How many sides does an octagon have?", "eight sides", "8", "eight"),
    ("How many centimetres are there in a metre?", "one hundred centimetres", "100", "one hundred"),
    ("How many metres are there in a kilometre?", "one thousand", "1000", "1,000"),
    ("How many grams are there in a kilogram?", "one thousand grams", "1000", "1,000", "one thousand"),
    ("What is 12 plus 15?", "27", "twenty-seven"),
    ("What is 9 times 9?", "81", "eighty-one"),
    ("What is 100 divided by 4?", "25", "twenty-five"),
    ("What is 50 minus 18?", "32", "thirty-two"),
    ("What is 6 times 5?", "30", "thirty"),
    ("What is the square of 12?", "144"),
    ("What is a dozen in numbers?", "12", "twelve"),
    ("What colour is an emerald?", "green"),
    ("What colour is a ruby?", "red"),
    ("What colour do you get by mixing red and white?", "pink"),
    ("What is the largest planet's name?", "Jupiter"),
    ("What is the hardest natural mineral?", "diamond", "diamonds"),
    ("Which animal is known as man's best friend?", "dog", "the dog"),
    ("Which animal is called the king of the jungle?", "lion", "the lion"),
    ("Which is the fastest land animal?", "cheetah", "the cheetah"),
    ("Which bird is a common symbol of peace?", "dove", "the dove", "a dove"),
    ("Which animal has a trunk and tusks?", "elephant", "the elephant", "an elephant"),
    ("Which black and white bear eats bamboo?", "panda", "giant panda", "the panda"),
    ("What do silkworms produce?", "silk"),
    ("What do we call the home of a bird?", "nest", "a nest"),
    ("What do we call water that falls from clouds in drops?", "rain"),
    ("What is molten rock that flows from a volcano called?", "lava"),
    ("What is the study of living things called?", "biology"),
    ("What do we call a person who flies a plane?", "pilot", "a pilot"),
    ("What do we call a person who writes books?", "author", "writer", "an author", "a writer"),
    ("Who wrote Romeo and Juliet?", "William Shakespeare", "Shakespeare"),
    ("Who wrote the Harry Potter books?", "J. K. Rowling", "JK Rowling", "Rowling", "J.K. Rowling"),
    ("Who wrote the play Faust in German?", "Johann Wolfgang von Goethe", "Goethe"),
    ("Who painted The Starry Night?", "Vincent van Gogh", "van Gogh"),
    ("Who is known for the theory of evolution by natural selection?", "Charles Darwin", "Darwin"),
    ("Who is said to have discovered gravity after seeing an apple fall?", "Isaac Newton", "Newton", "Sir Isaac Newton"),
    ("Which ship sank in 1912 after hitting an iceberg?", "Titanic", "the Titanic", "RMS Titanic"),
    ("In which year did humans first land on the Moon?", "1969"),
    ("In which year did the First World War begin?", "1914"),
    ("In which city is the Colosseum?", "Rome"),
    ("In which city is Big Ben?", "London, England", "London"),
    ("In which city is the Statue of Liberty?", "New York", "New York City"),
    ("In which country is the Taj Mahal?", "India"),
    ("In which country is the city of Barcelona?", "Spain"),
    ("In which country is Machu Picchu?", "Peru"),
    ("Which desert covers much of North Africa?", "Sahara", "the Sahara", "Sahara Desert"),
    ("Which river flows through Egypt?", "the Nile", "Nile"),
    ("Which ocean is the smallest?", "the Arctic Ocean", "Arctic Ocean", "Arctic"),
    ("Which country is shaped like a boot?", "Italy"),
    ("What is the opposite of hot?", "cold"),
    ("What is the opposite of north?", "south"),
]:
    short(*row)

for context, continuation in [
    ("The sun rises in the east and sets in the", "west"),
    ("A week has seven", "days"),
    ("The opposite of day is", "night"),
    ("Fish live in", "water"),
    ("The capital of France is", "Paris"),
    ("The capital of Japan is", "Tokyo"),
    ("The capital of Italy is", "Rome"),
    ("The capital of Germany is", "Berlin"),
    ("The capital of Russia is", "Moscow"),
    ("The capital of England is", "London"),
    ("The largest planet in the solar system is", "Jupiter"),
    ("Water freezes and turns into", "ice"),
    ("The colour of grass is", "green"),
    ("The colour of snow is", "white"),
    ("On a clear day the sky is", "blue"),
    ("Bees collect nectar from", "flowers"),
    ("Cows give us", "milk"),
    ("Hens lay", "eggs"),
    ("We see with our", "eyes"),
    ("We hear with our", "ears"),
    ("The heart pumps", "blood"),
    ("Romeo and", "Juliet"),
    ("Shakespeare wrote the tragedy Romeo and", "Juliet"),
    ("The Mona Lisa was painted by Leonardo da", "Vinci"),
    ("The first president of the United States was George", "Washington"),
    ("The theory of relativity was developed by Albert", "Einstein"),
    ("The author of Oliver Twist is Charles", "Dickens"),
    ("The Eiffel Tower stands in the city of", "Paris"),
    ("The Statue of Liberty stands in the city of New", "York"),
    ("The pyramids of Giza are in", "Egypt"),
    ("The Great Wall is in", "China"),
    ("The Amazon rainforest is in South", "America"),
    ("The Sahara is a large", "desert"),
    ("The Pacific is the largest", "ocean"),
    ("The month after January is", "February"),
    ("The day after Monday is", "Tuesday"),
    ("Two plus two equals", "four"),
    ("Ten minus three equals", "seven"),
    ("A triangle has three", "sides"),
    ("Half of ten is", "five"),
    ("There are sixty seconds in a", "minute"),
    ("There are twelve months in a", "year"),
    ("A doctor works in a", "hospital"),
    ("A teacher works in a", "school"),
    ("Books can be borrowed from a", "library"),
    ("Bread is baked in an", "oven"),
    ("We use an umbrella when it", "rains"),
    ("The Earth goes around the", "Sun"),
    ("The Moon goes around the", "Earth"),
    ("The symbol H2O stands for", "water"),
    ("A baby cat is called a", "kitten"),
    ("A baby dog is called a", "puppy"),
    ("The past tense of the verb run is", "ran"),
    ("The plural of child is", "children"),
    ("An animal that hunts other animals is called a", "predator"),
    ("People in Brazil speak", "Portuguese"),
]:
    cloze(context, continuation)

for instruction, response in [
    ("Why is the sky blue?", "Air scatters the short blue waves of sunlight far more than the long red ones, so blue light reaches our eyes from all over the sky."),
    ("Explain what photosynthesis is.", "Photosynthesis is how plants use sunlight to turn water and carbon dioxide into sugar. Oxygen is released along the way."),
    ("What causes the seasons?", "The Earth's axis is tilted, so during the year each half of the planet leans toward the Sun in its summer and away from it in its winter."),
    ("How do vaccines work?", "A vaccine shows the immune system a harmless part or form of a germ, so that the body learns to recognise it and fights the real germ faster."),
    ("What is a volcano?", "A volcano is an opening in the Earth's crust through which molten rock, ash and gases escape."),
    ("Why do we have leap years?", "The Earth needs about 365 and a quarter days to go around the Sun, so an extra day is added nearly every four years to keep the calendar in step."),
    ("What is the water cycle?", "Water evaporates from seas and land, rises and cools into clouds, falls as rain or snow, and flows back to the sea."),
    ("How does a rainbow form?", "Sunlight is bent and reflected inside raindrops, and since each colour bends by a different amount the light spreads into a band of colours."),
    ("What does the heart do?", "The heart is a muscle that pumps blood through the body, carrying oxygen and nutrients to the organs and waste away from them."),
    ("What is gravity?", "Gravity is the attraction between things that have mass. It keeps us on the ground and the planets in orbit around the Sun."),
    ("Why do leaves change colour in autumn?", "In autumn trees stop making green chlorophyll, and yellow and orange pigments that were hidden by it become visible."),
    ("What is the difference between weather and climate?", "Weather is what the air does over hours or days, while climate is the usual weather of a place over many years."),
    ("How do fish breathe?", "Fish take water in through the mouth and pass it over their gills, which take the dissolved oxygen out of it."),
    ("Why does ice float on water?", "Ice is less dense than liquid water, because water expands when it freezes."),
    ("What is an ecosystem?", "An ecosystem is a community of living things together with the soil, water and air that they interact with."),
    ("What is democracy?", "Democracy is a form of government in which the people hold power, usually by electing representatives in free elections."),
    ("What is inflation?", "Inflation is a general rise in prices, which means that the same money buys less than before."),
    ("What was the Renaissance?", "The Renaissance was a period in Europe from about the fourteenth to the seventeenth century when art, science and learning from antiquity flourished again."),
    ("What was the Industrial Revolution?", "It was the change from handwork to machines and factories that began in Britain in the eighteenth century and spread across the world."),
    ("Who was Marie Curie?", "Marie Curie was a physicist and chemist who studied radioactivity, discovered polonium and radium, and won two Nobel Prizes."),
    ("Who was Mahatma Gandhi?", "Mahatma Gandhi led India's movement for independence from Britain and became known for nonviolent resistance."),
    ("Who was Nelson Mandela?", "Nelson Mandela fought against apartheid, spent 27 years in prison, and became South Africa's first Black president in 1994."),
    ("What is a noun?", "A noun is a word that names a person, a place, a thing or an idea, such as teacher, city, table or freedom."),
    ("What is a metaphor?", "A metaphor describes one thing as if it were another to show a likeness, as in \"time is money\"."),
    ("What is a prime number?", "A prime number is a whole number greater than one that can be divided evenly only by one and itself, such as 2, 3, 5 and 7."),
    ("What is an even number?", "An even number is a whole number that can be divided by two without a remainder, such as 2, 4 or 6."),
    ("How do you find the area of a rectangle?", "Multiply its length by its width. A rectangle 4 metres long and 3 metres wide has an area of 12 square metres."),
    ("What is an algorithm?", "An algorithm is a finite list of clear steps for solving a problem, such as a recipe or a method for sorting numbers."),
    ("What does a computer's memory do?", "It holds the programs and data that the computer is working with, so that the processor can reach them quickly."),
    ("What is the internet?", "The internet is a worldwide network of computers that exchange data by shared rules, and carries services such as web pages and email."),
    ("Why is sleep important?", "Sleep lets the body repair itself and the brain sort memories, and too little of it harms mood, attention and health."),
    ("Why should people wash their hands?", "Washing hands with soap removes germs, which keeps people from getting sick and from spreading illness to others."),
    ("How can I save water at home?", "Take shorter showers, turn off the tap while brushing your teeth, fix leaks, and run washing machines only when full."),
    ("Why is exercise good for you?", "Exercise strengthens the heart, muscles and bones, improves mood and sleep, and lowers the risk of many diseases."),
    ("How do you boil an egg?", "Put the egg in boiling water for about six minutes for a soft yolk or ten for a hard one, then cool it in cold water."),
    ("How do you make a cup of tea?", "Boil water, pour it over a tea bag or leaves in a cup, wait three to five minutes, and remove the tea."),
    ("What do plants need to grow?", "Plants need light, water, air, warmth and nutrients, which most of them take from the soil."),
    ("What are the primary colours of paint?", "Red, yellow and blue are the traditional primary colours; other colours can be mixed from them."),
    ("What are the three states of matter?", "The three common states of matter are solid, liquid and gas."),
    ("Name the four seasons.", "The four seasons are spring, summer, autumn and winter."),
    ("Name three mammals.", "Dogs, whales and humans are mammals."),
    ("What are the five senses?", "The five senses are sight, hearing, smell, taste and touch."),
    ("What is a solar eclipse?", "A solar eclipse happens when the Moon passes between the Sun and the Earth and blocks the Sun's light for a while."),
    ("What is a fossil?", "A fossil is the preserved remains or trace of a plant or animal that lived long ago, often found in rock."),
    ("What is a glacier?", "A glacier is a large, slowly moving mass of ice formed from snow that has been pressed together over many years."),
    ("Why do birds migrate?", "Many birds move with the seasons to find food, milder weather and good places to raise their young."),
    ("What is recycling?", "Recycling turns used materials such as paper, glass and metal into new products instead of throwing them away."),
    ("What is an orchestra?", "An orchestra is a large group of musicians who play strings, woodwind, brass and percussion together, led by a conductor."),
    ("What is chess?", "Chess is a board game for two players who each move sixteen pieces and try to checkmate the other's king."),
    ("What are the Olympic Games?", "The Olympic Games are an international sports event; summer and winter games are each held every four years."),
    ("Why do we have time zones?", "The Earth turns, so the Sun is highest at different moments in different places, and time zones keep clocks close to the Sun."),
    ("What is a constitution?", "A constitution is the set of basic laws that says how a country is governed and which rights its people have."),
]:
    opened(instruction, response)
opened("Where does Lena work?", "Lena works at a bakery.", "Lena gets up at four in the morning. She cycles to the bakery where she works, and bakes bread until noon.")
opened("What colour is the new boat?", "The new boat is green.", "The old boat was red, but it leaked. Last spring the fishermen bought a new one and painted it green.")
opened("Summarise the text in one sentence.", "The town built a bridge, and trade grew because of it.", "For years the town had only a ferry. Then a bridge was built. Merchants came more often, shops opened, and the town grew.")

path = Path(__file__).with_name("general_questions.jsonl")
with path.open("w", encoding="utf-8", newline="\n") as file:
    for row in ROWS:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
for name, field in [("choice", "choices"), ("short", "aliases"), ("cloze", "continuation"), ("open", "instruction")]:
    print(name, sum(field in row for row in ROWS))
