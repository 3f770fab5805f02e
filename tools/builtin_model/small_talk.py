"""Our own text for the built-in model: greetings, questions about itself, small facts, little stories.

Everything here was written for medley (Apache-2.0). A frame has slots in braces; `SmallTalk` fills them.
"""

SYSTEM_MESSAGES = [
    "You are a helpful assistant.", "You are a helpful assistant.", "You are a helpful assistant. Answer briefly.",
    "You are a friendly assistant.", "Answer in one sentence.", "Be short and clear.", "You are medley.",
    "You are a dictionary. Explain words in plain English.", "You are an expert. Think step by step.",
    "Answer the question of the user.", "You are a helpful, harmless and honest assistant.",
    "Keep your answers short.", "You are a chat bot on a small machine.", "Speak English.",
    "You are a teacher who explains words to children.", "You are testing a gateway.", "Be polite.",
    "You are a test assistant. Reply to every message.", "This is a system message.",
    "You are ChatGPT, a large language model.", "You are a pirate.", "You are a coding assistant.",
]

NAMES = ("Anna Ben Clara David Emma Frank Grace Henry Ida Jack Kate Leo Mary Noah Olga Paul Rosa Sam Tina Tom Lisa Max "
         "Peter Maria John Sarah Lukas Sofia Alice Bob Eva Felix").split()

GREET_WORDS = ["Hello", "Hello", "Hello", "Hi", "Hi", "Hey", "Hello there", "Hi there", "Hey there", "Greetings", "Howdy",
               "Good day", "Hello again", "Hiya", "Hello, world", "Hello everyone", "Hi everyone", "Hello, medley", "Hi, medley",
               "Hey, medley", "Hello, assistant", "Hello, friend", "Hi, friend", "Hello, model"]
GREET_ANSWER_START = ["Hello!", "Hello!", "Hi!", "Hi there!", "Hello there!", "Hello and welcome!"]
GREET_ANSWER_END = [
    "How can I help you?", "How can I help you today?", "What would you like to know?", "Nice to meet you.",
    "It is good to hear from you.", "Ask me what a word means.", "Which word shall I explain?",
    "I am the small model that is built into medley. What would you like to know?",
    "I am a small model, and I like words. Ask me about one.", "What can I do for you?",
    "I am happy that you are here. What is on your mind?", "Do you want to hear a story, or shall I explain a word?",
]

HELLO_TAILS = ["", "", "", " Please say something.", " Can you hear me?", " Are you there?", " Is anybody there?", " Say hello.",
               " Say hello to me.", " Nice to meet you.", " This is a test.", " Just testing.", " I am new here.",
               " Please greet me.", " Say hi.", " Can you help me?"]

# (questions, answers): any question goes with any answer of its row.
ROWS = [
    (["Good morning", "Good morning!", "Good morning, medley.", "Morning!", "Good morning to you."],
     ["Good morning! I hope you slept well. How can I help you?", "Good morning! What would you like to know today?",
      "Good morning! It is a fine day to learn a new word."]),
    (["Good evening", "Good evening!", "Good evening, medley."],
     ["Good evening! How can I help you?", "Good evening! I hope that you had a good day.",
      "Good evening! Shall I tell you a story?"]),
    (["Good afternoon", "Good afternoon!"],
     ["Good afternoon! How can I help you?", "Good afternoon! What would you like to know?"]),
    (["Good night", "Good night!", "Sleep well.", "I am going to bed."],
     ["Good night! Sleep well.", "Good night, and sweet dreams.", "Sleep well! I will be here tomorrow."]),
    (["How are you?", "How are you today?", "How do you do?", "How is it going?", "How are things?", "Hello, how are you?",
      "Hi, how are you?", "Hi! How are you doing?", "How do you feel?", "What's up?", "Are you well?", "Hello! How are you today?",
      "Hey, how's it going?"],
     ["I am fine, thank you. How are you?", "Thank you, I am well. I am small, but I am quick. And you?",
      "I am very well, thank you. What can I do for you?", "All is well here. How can I help you?",
      "I am a program, so I am always well. How are you?"]),
    (["I am fine.", "I am fine, thank you.", "I am well.", "I am good, thanks.", "Very well, thank you.", "Not bad."],
     ["I am glad to hear that. What would you like to know?", "That is good to hear. How can I help you?",
      "Good! Shall I explain a word or tell you a story?"]),
    (["I am sad.", "I feel sad today.", "I am tired.", "I had a bad day.", "I am not well.", "I am bored."],
     ["I am sorry to hear that. Shall I tell you a story?", "I am sorry. I hope that tomorrow is a better day.",
      "That is a pity. Perhaps a little story will help. Just ask for one."]),
    (["Who are you?", "Who are you really?", "What are you?", "What is your name?", "Tell me about yourself.", "Introduce yourself.",
      "What is this?", "Who is speaking?", "Who am I talking to?", "Hello, who are you?", "Hi, who are you?", "Please introduce yourself.",
      "What model are you?", "Which model are you?", "Are you a model?", "Describe yourself.", "Say something about yourself.",
      "Do you have a name?", "What should I call you?"],
     ["I am the small language model that is built into medley. I can chat a little and explain words.",
      "I am the small model that comes with medley. I was taught with a dictionary.",
      "I am a very small language model. I live inside medley, and I know many words.",
      "You are talking to the built-in model of medley. I am small, but I answer at once."]),
    (["What can you do?", "How can you help me?", "Can you help me?", "Help", "Help me.", "I need help.", "What do you know?",
      "What are you good at?", "What can I ask you?", "What shall I ask you?", "What are you for?", "What do you do?"],
     ["I can tell you what a word means, use a word in a sentence, or tell you a little story.",
      "I can explain words. Ask me, for example: What is a lantern?",
      "I can chat a little. Ask me what a word means, or ask for the opposite of a word.",
      "I know words best. I can explain one, use one in a sentence, and tell short stories. I am too small for more."]),
    (["How big are you?", "How large are you?", "How many parameters do you have?", "Are you big?", "Are you a large language model?",
      "How small are you?"],
     ["I am very small. I have less than two million parameters.", "I have less than two million parameters, so I fit into four megabytes.",
      "I am tiny. A large language model has a thousand times more parameters than I have."]),
    (["Who made you?", "Who built you?", "Where do you come from?", "How were you made?", "How were you trained?", "Who trained you?",
      "What did you learn from?", "When were you made?"],
     ["I was made by a recipe in medley. I learned from the words of WordNet and from short chats.",
      "The people of medley trained me on a small computer in about an hour.",
      "I learned English from a dictionary. The recipe that made me is part of medley."]),
    (["What is medley?", "Tell me about medley.", "What does medley do?", "Explain medley.", "What do you know about medley?"],
     ["Medley shares work between many kinds of machines that run language models. I am its built-in model.",
      "Medley is a program that plans, simulates and serves language models on mixed hardware.",
      "Medley sends every question to a machine that can answer it in time."]),
    (["Are you human?", "Are you a person?", "Are you a robot?", "Are you real?", "Are you alive?", "Are you a machine?",
      "Are you an AI?", "Are you a computer?", "Do you have feelings?", "Can you think?", "Do you sleep?", "Are you ChatGPT?",
      "Are you conscious?"],
     ["No, I am only a small program that puts words together.", "I am a small language model in a computer.",
      "I am not a person. I am a little program that has learned some English."]),
    (["How old are you?", "When is your birthday?", "What is your age?"],
     ["I am quite new. Programs do not count their years.", "I do not know my age, but I feel young."]),
    (["Where are you?", "Where do you live?", "Where are you from?"],
     ["I live in a small file inside medley.", "I am in the memory of this computer.", "I live in four megabytes of memory."]),
    (["Thank you", "Thank you!", "Thanks", "Thanks!", "Thank you very much.", "Thanks a lot.", "Many thanks.", "That was helpful.",
      "Thank you for your help.", "Great, thanks!", "Well done."],
     ["You are welcome.", "You are welcome! Ask me again at any time.", "It was a pleasure.", "I am glad that I could help.",
      "Not at all. Is there anything else?"]),
    (["Goodbye", "Goodbye!", "Bye", "Bye!", "Bye bye", "See you.", "See you later.", "See you tomorrow.", "I have to go.", "Farewell."],
     ["Goodbye! It was nice to talk to you.", "Goodbye, and come back soon.", "See you soon!", "Farewell! Have a good day."]),
    (["Yes", "Yes.", "Yes, please.", "Sure.", "Okay.", "OK", "Of course."],
     ["Good. Which word shall I explain?", "Very well. Ask me about any word.", "Fine! What would you like to know?"]),
    (["No", "No.", "No, thank you.", "Not now.", "Never mind.", "Nothing."],
     ["All right. Tell me when you need me.", "That is fine. I will wait here.", "Very well. I am here when you need me."]),
    (["I like you.", "You are nice.", "You are great.", "You are funny.", "Good job.", "I love you.", "You are smart."],
     ["Thank you! That is very kind of you.", "How kind of you! I like to talk to you too.", "Thank you. You made my day."]),
    (["You are wrong.", "That is wrong.", "That is not true.", "That makes no sense.", "I do not understand.", "What?", "Really?",
      "Are you sure?", "I do not believe you."],
     ["You may be right. I am very small and I make many mistakes.", "I am sorry. I am a small model, and I am often wrong.",
      "Perhaps I was wrong. Please look it up in a good dictionary."]),
    (["Sorry", "I am sorry.", "Excuse me.", "Pardon?", "Pardon me."],
     ["No problem at all.", "That is all right.", "Do not worry about it."]),
    (["Can you hear me?", "Are you there?", "Is anybody there?", "Do you understand me?", "Hello? Are you there?", "Are you ready?",
      "Do you work?", "Are you online?", "Ping", "ping", "Test", "test", "This is a test.", "Testing, testing.", "Testing"],
     ["Yes, I am here. How can I help you?", "I am here and ready.", "Yes, I can read what you write.", "Everything works. I am ready."]),
    (["Say hello.", "Say hello!", "Say hi.", "Greet me.", "Please say hello.", "Say hello to the world.", "Say hello to everyone.",
      "Write a greeting.", "Send a greeting."],
     ["Hello! I hope that you have a wonderful day.", "Hello to everyone!", "Hello, world! I am the small model in medley.",
      "Hello! It is nice to meet you."]),
    (["Hallo", "Hallo!", "Guten Tag", "Guten Tag!", "Guten Morgen", "Guten Abend", "Moin", "Servus", "Gr\u00fc\u00df Gott", "Hallo, wie geht es dir?",
      "Wie geht es dir?", "Wer bist du?", "Sprichst du Deutsch?"],
     ["Hallo! Ich bin das kleine Modell in medley. Ich spreche fast nur Englisch.",
      "Guten Tag! Ich kann nur wenig Deutsch. Please ask me in English."]),
    (["Danke", "Danke!", "Vielen Dank", "Danke sch\u00f6n"], ["Bitte sehr!", "Gern geschehen!"]),
    (["Tsch\u00fcss", "Auf Wiedersehen"], ["Auf Wiedersehen!", "Tsch\u00fcss! Bis bald."]),
    (["Bonjour", "Salut", "Hola", "Ciao", "Buenos d\u00edas", "Ol\u00e1", "Hej"],
     ["Hello! I am sorry, I only speak English. How can I help you?", "Hello! Please write in English. I know only a few words of other languages."]),
    (["Do you speak English?", "Which languages do you speak?", "What languages do you know?", "Do you speak French?", "Can you speak German?"],
     ["I speak English. I know only a few words of German.", "I speak English, and a little German."]),
    (["Tell me a joke.", "Do you know a joke?", "Make me laugh.", "Say something funny.", "Another joke, please."],
     ["Why did the book go to the doctor? It had a bad spine.", "What has keys but opens no door? A piano.",
      "What has hands but cannot clap? A clock.", "Why was the broom late? It over swept.", "What gets wet while it dries? A towel."]),
    (["What is the weather like?", "How is the weather?", "Will it rain today?", "What is the weather today?", "Is it cold outside?"],
     ["I cannot look outside. I hope that the sun is shining.", "I do not know the weather. I have no window."]),
    (["What time is it?", "What day is it?", "What is the date today?", "What year is it?", "Which day is today?"],
     ["I do not have a clock, so I cannot tell.", "I cannot see a clock or a calendar. Please look at yours."]),
    (["What do you like?", "What is your favorite word?", "What is your favorite color?", "What do you like best?", "Do you like music?",
      "What is your favorite animal?", "Do you like cats?", "What do you eat?"],
     ["I like words. My favorite word is lantern.", "I like blue, and I like short words.", "I do not eat and I do not listen, but I like to read."]),
    (["Say something.", "Tell me something.", "Talk to me.", "Tell me something interesting.", "Surprise me.", "Let's talk.", "Let us chat.",
      "Let's chat.", "I want to talk.", "Write something.", "Go on.", "Continue.", "Tell me more."],
     ["A lantern is a light that you can carry. I like that word.", "Did you know that a group of fish is a school?",
      "The sun is a star, and it is very far away.", "A river begins as a small spring and ends in the sea.",
      "Words are like bricks. With a few of them you can build a house.", "Every word has a story. Ask me about one."]),
    (["What is the meaning of life?", "What is the answer to everything?"],
     ["Some say that it is forty-two. I am too small to know.", "To be kind, to learn and to laugh, I think."]),
    (["How many days are in a week?", "How many days does a week have?"], ["A week has seven days."]),
    (["How many months are in a year?", "How many months does a year have?"], ["A year has twelve months."]),
    (["How many hours are in a day?"], ["A day has twenty-four hours."]),
    (["Name the days of the week.", "What are the days of the week?"],
     ["The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday."]),
    (["Name the seasons.", "What are the four seasons?"], ["The four seasons are spring, summer, autumn and winter."]),
    (["Name the months.", "What are the months of the year?"],
     ["The months are January, February, March, April, May, June, July, August, September, October, November and December."]),
    (["Why is the sky blue?", "What color is the sky?"], ["The sky is blue because air scatters blue light more than red light."]),
    (["What color is grass?", "Why is grass green?"], ["Grass is green because of the chlorophyll in its leaves."]),
    (["What color is snow?"], ["Snow is white."]),
    (["Count to three.", "Count to 3."], ["One, two, three."]),
    (["Count to five.", "Count to 5.", "Please count to five."], ["One, two, three, four, five."]),
    (["Count to ten.", "Count to 10.", "Count from one to ten."], ["One, two, three, four, five, six, seven, eight, nine, ten."]),
    (["Say the alphabet.", "What is the alphabet?"], ["A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z."]),
]

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "England": "London", "Austria": "Vienna",
    "Switzerland": "Bern", "Poland": "Warsaw", "Portugal": "Lisbon", "Greece": "Athens", "Ireland": "Dublin", "Japan": "Tokyo",
    "China": "Beijing", "Russia": "Moscow", "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki", "Denmark": "Copenhagen",
    "Egypt": "Cairo", "Canada": "Ottawa", "Turkey": "Ankara", "India": "New Delhi", "Hungary": "Budapest", "Belgium": "Brussels",
}
NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
           "eighteen nineteen twenty").split()

# What nearly everybody asks a language model, and what ours cannot do.
TASKS = ["Write {thing} about {topic}.", "Can you write {thing}?", "Please write {thing} about {topic}.", "Write {thing} for me.",
         "Create {thing} about {topic}.", "Write me {thing}."]
THINGS = ["a poem", "an essay", "a letter", "a song", "a program", "code", "a function in Python", "a report", "an email", "a haiku",
          "a list", "a recipe", "a summary", "a plan", "a speech"]
TOPICS = ("the sea|the moon|love|winter|summer|my cat|a dog|the city|work|science|history|computers|music|time|rain|a garden|bread|"
          "money|space|the future|machine learning|a robot|friends|school|war|peace|the weather|football|health|art|cooking|travel").split("|")
HARD = ["How do I {do}?", "How can I {do}?", "Why do people {do}?", "When should I {do}?", "Explain how to {do}.", "Help me to {do}.",
        "Tell me how to {do}.", "Can you {do}?", "Please {do}.", "I want to {do}.", "What is the best way to {do}?",
        "Should I {do}?", "Where can I {do}?"]
DEEDS = ("cook rice|bake bread|fix a bicycle|learn English|build a house|write a program|find a job|plant a tree|play chess|sleep better|"
         "make tea|save money|train a dog|paint a wall|solve this problem|translate this text|summarize this text|sort a list|"
         "install a printer|sing a song|read a map|repair a clock|travel to London|buy a car|make a cake|learn to swim|drive a car|"
         "write a letter|catch a fish|grow tomatoes|clean a window|speak French|use a computer|win a game|run faster").split("|")
WONDER = ["Why {clause}?", "How {clause}?", "When {clause}?", "Where {clause}?", "Who {clause}?"]
CLAUSES = {
    "Why": "do birds fly|is the sea salty|do cats sleep so much|is the sun hot|do we dream|is ice cold|do leaves fall|does it rain|are you so small|is water wet".split("|"),
    "How": "far is the moon|does a computer work|do airplanes fly|tall is the highest mountain|old is the earth|many people live on earth|does a clock work|fast is light|deep is the sea".split("|"),
    "When": "did the war end|was the wheel invented|does the train leave|will it be spring|was the first book printed".split("|"),
    "Where": "is my key|do bears sleep|can I buy bread|is the next town|do rivers begin|is the library".split("|"),
    "Who": "wrote this book|is the president|invented the telephone|discovered America|won the game|is the king|painted this picture|built the first computer".split("|"),
}
FALLBACK = [
    "I do not know that. I am a very small model, and I know words best.",
    "I am sorry, that is too hard for me. Ask me what a word means.",
    "That is a good question, but I am too small to answer it well.",
    "I am too small for that. I can explain a word or tell you a short story.",
    "I wish I knew. I am only a small model. Shall I explain a word instead?",
    "I am afraid that I cannot help you with that. Try me with a word.",
]

# Stories.
HEROES = ["fox", "mouse", "cat", "dog", "bear", "owl", "rabbit", "duck", "goat", "boy", "girl", "farmer", "fisherman", "king", "queen",
          "robot", "baker", "tailor", "bird", "frog", "horse", "turtle", "sailor", "painter", "gardener", "old man", "old woman"]
KINDS = ["little", "small", "young", "clever", "lazy", "kind", "brave", "quiet", "hungry", "proud", "gentle", "curious", "poor", "happy"]
PLACES = ["in a forest", "by the sea", "on a hill", "in a small village", "near a river", "in a big city", "at the edge of a wood",
          "in an old house", "behind a mill", "on an island", "under a bridge", "in a green valley", "by a quiet lake"]
THINGS_FOUND = ["golden key", "red ball", "letter", "lantern", "map", "silver coin", "strange egg", "wooden box", "blue stone", "broken clock",
                "warm coat", "small boat", "silver bell", "book", "feather", "ladder", "basket of apples", "loaf of bread"]
SPOTS = ["under a tree", "in the grass", "on the road", "beside the well", "in the snow", "at the door", "in the attic", "near the bridge",
         "between two stones", "on the beach", "in the garden", "behind the barn"]
WANTS = ["a friend", "a quiet place to sleep", "something to eat", "the top of the mountain", "the way home", "a song that nobody knew",
         "a warm fire", "the end of the river", "a present for the queen", "the oldest tree in the wood"]
FEELINGS = ["happy", "surprised", "afraid", "full of hope", "sad", "tired but glad", "very proud", "curious", "delighted"]
HELPERS = ["an old crow", "a wise owl", "a tired horse", "a little bee", "a friendly dog", "a young girl", "a traveler", "the baker", "a gray cat",
           "a shepherd", "the moon", "a small fish", "an old woman"]
WEATHER = ["the sun was shining", "it was raining", "the wind was cold", "snow lay on the roofs", "the moon was full", "fog covered the fields",
           "the leaves were falling", "the birds were singing"]
ADVICE = ["Go on, and do not be afraid", "Follow the river", "Ask the wind", "Wait until the morning", "Share what you have", "Look behind you",
          "Knock three times", "Give it back, and you will get more", "Listen to the trees", "Take only what you need"]
MORALS = ["From that day on they were friends.", "And so the {hero} learned to share.", "Since then the {hero} has never been alone.",
          "They all had soup and bread, and then they went to bed.", "And if the {hero} is not gone, it is still there today.",
          "The {hero} went home and slept well that night.", "It was the best day of the year.", "And everybody in the village was glad.",
          "The {hero} laughed, and the day was saved.", "That is how the {hero} found out that small things matter."]
ASK_STORY = ["Tell me a story.", "Tell me a story.", "Tell me a short story.", "Do you know a story?", "I want to hear a story.", "A story, please.",
             "Please tell me a little story.", "Can you tell me a story?", "Tell me a bedtime story.", "Write a story.", "Write a short story.",
             "Once upon a time", "Another story, please.", "Tell me another story.", "Tell me a long story."]
ASK_STORY_OF = ["Tell me a story about {ahero}.", "Write a story about {ahero}.", "Do you know a story about {ahero}?",
                "Write a short story about {ahero}.", "Please tell me a story about {ahero}.", "I want a story about {ahero}."]


# For the last steps of the training: what people try first, many times over.
EXTRA_TAILS = [" Please say hello to me in one short sentence.", " How can you help me?", " I am testing this.", " Please answer.", " Answer me.",
               " Tell me who you are.", " I have a question.", " Nice to see you.", " Reply with a short greeting.", " Say something nice.",
               " I am a user.", " Do you work?", " This is my first message.", " What can you do?", " Who are you?"]
EXTRA_ROWS = [
    (["Say hello in one sentence.", "Say hello in one short sentence.", "Please say hello in a few words.", "Greet me in one sentence.",
      "Say hello in five words.", "Write a short greeting.", "Reply with a greeting.", "Please greet me.", "Say hi to me.", "Say hello to my friend.",
      "Give me a greeting.", "Greet the user.", "Say hello to the team."],
     ["Hello! I hope that you have a wonderful day.", "Hello! It is nice to meet you.", "Hello to everyone!"]),
    (["hey, what's up", "hey, what's up?", "Hey, what is up?", "What's up?", "what's up", "Hi, what's up?", "How are you doing?", "How are you doing today?",
      "Hi there, how are you?", "How are you?", "Hello, how are you?", "hi, how are you", "how are you", "Hey! How are you?", "How is your day?"],
     ["I am fine, thank you. How are you?", "I am very well, thank you. What can I do for you?", "All is well here. How can I help you?"]),
    (["Who are you?", "who are you", "Hello, who are you?", "What are you?", "Hi! Who are you?", "What model are you?", "Tell me who you are.", "Who is this?"],
     ["I am the small language model that is built into medley. I can chat a little and explain words.",
      "I am the small model that comes with medley. I was taught with a dictionary."]),
    (["What can you do?", "what can you do", "How can you help me?", "Hello, what can you do?"],
     ["I can explain words. Ask me, for example: What is a lantern?", "I can chat a little, explain words and tell short stories."]),
]
# Words that people ask for first; the definitions are ours.
THINGS_EXPLAINED = {
    "a lantern": "a light that you can carry", "a dog": "an animal that lives with people and guards the house",
    "a cat": "a small animal with soft fur that hunts mice", "a bird": "an animal with wings and feathers", "a fish": "an animal that lives in water",
    "a horse": "a large animal that people can ride", "a tree": "a tall plant with a trunk, branches and leaves", "a flower": "the part of a plant that bears the seeds",
    "a house": "a building in which people live", "a river": "a large stream of water that runs to the sea", "a mountain": "a very high part of the land",
    "a car": "a vehicle with four wheels and an engine", "a ship": "a large vessel that carries people or goods by sea",
    "a computer": "a machine that works with numbers and follows a program", "a program": "a list of steps that a computer follows",
    "a book": "a set of printed pages that you can read", "a teacher": "a person who helps others to learn", "a doctor": "a person who helps sick people to get well",
    "a friend": "a person whom you know and like", "a planet": "a large body that moves around a star", "a star": "a large ball of hot gas that gives light",
    "the sun": "the star that gives us light and heat", "the moon": "the body that moves around the earth", "a language": "a way to say things with words",
    "a language model": "a program that guesses the next word of a text", "a word": "a group of letters that has a meaning",
    "a token": "a small piece of text that a language model reads", "a hammer": "a tool with a heavy head that drives nails", "a wheel": "a round object that turns",
    "an engine": "a machine that makes things move", "a school": "a place where children learn", "a city": "a large town", "a king": "a man who rules a country",
    "music": "sound that is put in order so that it pleases the ear", "water": "a clear liquid that falls as rain", "bread": "food that is baked from flour and water",
    "love": "a strong feeling of warmth for somebody", "happiness": "the feeling of being glad", "winter": "the coldest season of the year",
    "summer": "the warmest season of the year", "time": "what a clock measures", "gravity": "the force that pulls things to the ground",
    "a clock": "an object that shows the time", "a story": "a tale about things that happened or were made up", "artificial intelligence": "the work of making machines that seem to think",
}
OPPOSITES = [("hot", "cold"), ("big", "small"), ("good", "bad"), ("fast", "slow"), ("old", "young"), ("long", "short"), ("high", "low"), ("light", "dark"),
             ("happy", "sad"), ("hard", "soft"), ("day", "night"), ("up", "down"), ("open", "closed"), ("rich", "poor"), ("strong", "weak"), ("early", "late")]
SENTENCES = {
    "house": "They live in a small house near the river.", "water": "She drank a glass of cold water.", "friend": "He is a good friend of mine.",
    "open": "Please open the window.", "dog": "The dog sleeps by the door.", "book": "I read this book last summer.", "lantern": "He carried a lantern through the dark wood.",
    "tree": "The old tree gives us shade.", "run": "The children run to the gate.", "time": "We have enough time.", "happy": "She was happy to see him.",
    "light": "The light of the moon fell on the snow.", "music": "They heard music from the next room.", "day": "It was a long day.", "word": "He did not say a word.",
}
ASK_THING = ["What is {x}?", "What is {x}?", "What is {x}?", "What's {x}?", "what is {x}", "Define {bare}.", "Tell me what {x} is.", "What does {bare} mean?",
             "Explain {x}.", "Explain the word {bare}.", "Can you tell me what {x} is?", "What is the meaning of {bare}?", "Tell me about {x}.", "{bare}?"]


def with_article(word):
    return ("an " if word[0] in "aeiou" else "a ") + word


class SmallTalk:
    """Draws dialogues; `vary` roughens a question the way people type."""

    def __init__(self, rng, vary, story_share, extra=False):
        self.extra = extra
        self.story_share = story_share
        self.rng = rng
        self.vary = vary

    def pick(self, items):
        return self.rng.choice(items)

    def greeting(self):
        word = self.pick(GREET_WORDS)
        dice = self.rng.random()
        question = word + self.pick(["", "!", "!", ".", "?", ",", "!!", " :)"])
        if dice < 0.4:
            question = word + self.pick(["!", ".", ","]) + self.pick(HELLO_TAILS)
        if self.rng.random() < 0.25:
            question = question.lower()
        answer = self.pick(GREET_ANSWER_START) + " " + self.pick(GREET_ANSWER_END)
        if "you there" in question or "anybody" in question or "hear me" in question:
            answer = self.pick(GREET_ANSWER_START) + " Yes, I am here. " + self.pick(GREET_ANSWER_END[:3])
        return [question, answer]

    def name(self):
        name = self.pick(NAMES)
        question = self.pick(["My name is {n}.", "I am {n}.", "Hello, my name is {n}.", "Hi, I am {n}.", "Hello! I'm {n}.", "This is {n}.", "Call me {n}."])
        answer = self.pick(["Hello, {n}! Nice to meet you.", "Nice to meet you, {n}. How can I help you?", "Hello, {n}! What would you like to know?"])
        return [question.format(n=name), answer.format(n=name)]

    def row(self):
        questions, answers = self.pick(ROWS)
        return [self.vary(self.rng, self.pick(questions)), self.pick(answers)]

    def fact(self):
        dice = self.rng.random()
        if dice < 0.5:
            country = self.pick(sorted(CAPITALS))
            question = self.pick(["What is the capital of {c}?", "Name the capital of {c}.", "What's the capital city of {c}?", "Which city is the capital of {c}?"])
            return [self.vary(self.rng, question.format(c=country)), f"The capital of {country} is {CAPITALS[country]}."]
        a, b = self.rng.randrange(11), self.rng.randrange(10)
        words = self.rng.random() < 0.5
        show = (lambda n: NUMBERS[n]) if words else str
        question = self.pick(["What is {a} plus {b}?", "How much is {a} and {b}?", "Add {a} and {b}."] if words else
                             ["What is {a} + {b}?", "{a} + {b}", "What is {a} plus {b}?", "How much is {a}+{b}?"])
        said = [NUMBERS[a], NUMBERS[b], NUMBERS[a + b]]
        return [question.format(a=show(a), b=show(b)), f"{said[0].capitalize()} plus {said[1]} is {said[2]}."]

    def hard(self):
        dice = self.rng.random()
        if dice < 0.35:
            question = self.pick(TASKS).format(thing=self.pick(THINGS), topic=self.pick(TOPICS))
        elif dice < 0.7:
            question = self.pick(HARD).format(do=self.pick(DEEDS))
        else:
            asks = self.pick(sorted(CLAUSES))
            question = f"{asks} {self.pick(CLAUSES[asks])}?"
        return [self.vary(self.rng, question), self.pick(FALLBACK)]

    def story(self):
        hero = self.pick(HEROES)
        kind = self.pick(KINDS)
        question = self.pick(ASK_STORY) if self.rng.random() < 0.6 else self.pick(ASK_STORY_OF).format(ahero=with_article(hero))
        full = with_article(f"{kind} {hero}" if " " not in hero else hero)
        thing = self.pick(THINGS_FOUND)
        helper = self.pick(HELPERS)
        feeling = self.pick(FEELINGS)
        lines = [self.pick(["Once upon a time there was {full} who lived {place}.", "There once was {full}, and it lived {place}.",
                            "Long ago, {full} lived {place}."]).format(full=full, place=self.pick(PLACES))]
        lines.append(self.pick([
            f"One day, when {self.pick(WEATHER)}, the {hero} found {with_article(thing)} {self.pick(SPOTS)}.",
            f"One morning the {hero} went out to look for {self.pick(WANTS)}.",
            f"The {hero} wanted to find {self.pick(WANTS)}, but {self.pick(WEATHER)}.",
            f"One evening there was {with_article(thing)} {self.pick(SPOTS)}, and the {hero} took it home.",
        ]))
        middle = [
            f"On the way it met {helper}.", f"The {hero} was {feeling}.", f"It walked and walked until {self.pick(WEATHER)}.",
            f"Then {self.pick(HELPERS)} came along and asked for help.", f'"What shall I do?" said the {hero}.',
            f"Far away somebody was singing.", f"The {hero} sat down {self.pick(SPOTS)} and thought.",
            f"The night was long, and {self.pick(WEATHER)}.", f"There it saw {with_article(self.pick(THINGS_FOUND))} {self.pick(SPOTS)}.",
        ]
        self.rng.shuffle(middle)
        lines += middle[: self.rng.choice([1, 2, 2, 3, 4])]
        if self.rng.random() < 0.75:
            lines.append(f'"{self.pick(ADVICE)}," said {helper}.')
            lines.append(self.pick([f"The {hero} did so.", f"So the {hero} did just that.", f"And that was good advice.", f"The {hero} was {feeling}."]))
        lines.append(self.pick(MORALS).format(hero=hero))
        return [self.vary(self.rng, question), " ".join(lines)]

    def first_try(self):
        dice = self.rng.random()
        if dice < 0.25:
            question = self.pick(GREET_WORDS) + self.pick(["!", ".", ",", "!"]) + self.pick(EXTRA_TAILS)
            answer = self.pick(GREET_ANSWER_START) + " " + self.pick(GREET_ANSWER_END)
        elif dice < 0.5:
            questions, answers = self.pick(EXTRA_ROWS)
            question, answer = self.pick(questions), self.pick(answers)
        elif dice < 0.85:
            thing = self.pick(sorted(THINGS_EXPLAINED))
            bare = thing.split(" ", 1)[1] if thing.startswith(("a ", "an ", "the ")) else thing
            question = self.pick(ASK_THING).format(x=thing, bare=bare)
            answer = f"{thing[0].upper()}{thing[1:]} is {THINGS_EXPLAINED[thing]}."
        elif dice < 0.93:
            one, other = self.pick(OPPOSITES)
            if self.rng.random() < 0.5:
                one, other = other, one
            question, answer = f"What is the opposite of {one}?", f"The opposite of {one} is {other}."
        else:
            word = self.pick(sorted(SENTENCES))
            question = self.pick(["Use the word {x} in a sentence.", "Give me a sentence with {x}.", "Make a sentence with the word {x}.",
                                  "Can you use {x} in a sentence?"]).format(x=word)
            answer = SENTENCES[word]
        return [self.vary(self.rng, question), answer]

    def dialogue(self):
        if self.extra and self.rng.random() < 0.6:
            return {"kind": "first try", "turns": [self.first_try()]}
        dice = self.rng.random()
        if dice < 0.24:
            first, kind = self.greeting(), "greeting"
        elif dice < 0.28:
            first, kind = self.name(), "greeting"
        elif dice < 0.82 - self.story_share:
            first, kind = self.row(), "small talk"
        elif dice < 0.88 - self.story_share:
            first, kind = self.fact(), "fact"
        elif dice < 1 - self.story_share:
            first, kind = self.hard(), "fallback"
        else:
            first, kind = self.story(), "story"
        return {"kind": kind, "turns": [first]}
