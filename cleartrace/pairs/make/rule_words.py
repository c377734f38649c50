"""The closed vocabulary of rule-style pairs: short, common words, so that small models know each of them."""

PEOPLE = (
    "Adam", "Alice", "Anna", "Ben", "Carl", "Clara", "David", "Emma", "Eric", "Frank", "George", "Grace", "Helen",
    "Henry", "Jack", "James", "Jane", "John", "Julia", "Kate", "Laura", "Lucy", "Mark", "Mary", "Nick", "Nora",
    "Oliver", "Paul", "Peter", "Rachel", "Robert", "Rose", "Sam", "Sarah", "Simon", "Sophie", "Susan", "Thomas",
    "Tom", "Victor",
)  # fmt: skip
THINGS = (
    "apple", "ball", "bell", "book", "bottle", "bread", "brush", "camera", "candle", "card", "chair", "clock", "coat",
    "coin", "cup", "doll", "drum", "flag", "flower", "fork", "glass", "guitar", "hammer", "hat", "key", "knife",
    "lamp", "letter", "map", "mirror", "orange", "pen", "phone", "plate", "radio", "ring", "rope", "shoe", "spoon",
    "watch",
)  # fmt: skip
PLACES = (
    "attic", "bank", "barn", "basement", "bathroom", "bedroom", "cafe", "church", "garage", "garden", "gym", "hall",
    "hospital", "hotel", "kitchen", "library", "market", "museum", "office", "park", "school", "shop", "station",
    "theater", "tower",
)  # fmt: skip
HOLDERS = (
    "bag", "barrel", "basket", "bowl", "box", "bucket", "cabinet", "cart", "chest", "closet", "crate", "drawer", "jar",
    "pan", "pocket", "pot", "safe", "suitcase", "tray", "truck", "tub", "vase", "wallet",
)  # fmt: skip
COLOURS = ("black", "blue", "brown", "gold", "gray", "green", "orange", "pink", "purple", "red", "silver", "white")
ACTIONS = (
    "bow", "clap", "climb", "dance", "dig", "jump", "kneel", "laugh", "listen", "march", "paint", "pull", "push",
    "run", "sing", "sit", "sleep", "smile", "stand", "stop", "swim", "turn", "wait", "walk", "wave", "whistle",
    "write",
)  # fmt: skip
SERVICES = (
    "auth", "backup", "billing", "cache", "cart", "chat", "feed", "image", "login", "mail", "metrics", "orders",
    "payment", "proxy", "queue", "report", "search", "storage", "upload", "video",
)  # fmt: skip
