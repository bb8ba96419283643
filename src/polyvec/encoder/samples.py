"""Short texts in many scripts, with which a model is tried out: by the doctor, and before arithmetic is exchanged.

Written for this; what they say does not matter, only that they look like what people index.
"""

DOCUMENTS = (
    "Plants take in light, water and carbon dioxide, and turn them into sugar and oxygen. The green pigment that catches the "
    "light is called chlorophyll, and it sits in small bodies inside the cells of every leaf.",
    "La tour Eiffel fut construite pour l'exposition universelle de 1889. Haute de plus de trois cents mètres, elle resta "
    "longtemps le plus grand édifice du monde; on voulait d'abord la démonter.",
    "Der Rhein entspringt in den Alpen und mündet nach rund 1.230 Kilometern in die Nordsee.",
    "Озеро Байкал — самое глубокое озеро на Земле; в нём содержится пятая часть пресной воды планеты.",
    "光合作用是植物利用阳光制造糖分的过程，叶绿素吸收光能。",
    "富士山は日本で最も高い山で、標高は三千七百七十六メートルです。",
    "القلب عضلة تضخ الدم إلى جميع أنحاء الجسم عبر الأوعية الدموية.",
    "गंगा भारत की सबसे लंबी नदी है और हिमालय से निकलती है।",
    "แม่น้ำเจ้าพระยาไหลผ่านกรุงเทพมหานครลงสู่อ่าวไทย",
    "def add(a, b):\n    return a + b  # x = 3.14e-5; see https://example.org/page?id=42",
    "Ankara, Türkiye'nin başkentidir.",
    "A short one.",
)
QUERIES = (
    "how do plants make sugar from light?",
    "quand la tour Eiffel a-t-elle été construite",
    "welcher Fluss mündet in die Nordsee",
    "самое глубокое озеро",
    "植物如何制造糖分",
    "日本で一番高い山",
    "ما الذي يضخ الدم",
    "python function that adds two numbers",
)
