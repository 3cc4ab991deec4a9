"""The vocabulary of the hospital world: names and values that many people share.

Surprising: the pools are small on purpose. Forgetting is only hard, and damage only visible, where the
person to be forgotten shares name parts, doctors, drugs and findings with people who stay. All people,
places, doctors and devices are invented; drugs, diseases and anatomy are general knowledge.
"""

from __future__ import annotations


def _list(text: str) -> tuple[str, ...]:
    """`a, b, c` as a tuple."""
    return tuple(word.strip() for word in text.split(","))


def _pairs(text: str) -> dict[str, str]:
    """`a: x, b: y` as a mapping."""
    return {key: value for key, _, value in (entry.partition(": ") for entry in _list(text))}


FIRST = _list("""
    Ada, Agnes, Aiko, Alma, Aron, Anaïs, Anton, Astrid, Bela, Bruno, Carla, Chidi, Clara, Dario, Dilan,
    Edith, Elif, Emil, Esra, Farid, Felix, Freya, Gita, Gustav, Hana, Hugo, Ida, Igor, Ines, Irma, Ivo,
    Jonas, José, Jürgen, Kaito, Karin, Kofi, Lena, Leïla, Linus, Luca, Łucja, Maja, Marek, Mira, Nadia,
    Nils, Nora, Olga, Omar, Otto, Paula, Petra, Rosa, Rui, Samir, Selma, Søren, Tara, Tomás, Vera, Yuki,
    Zoë, Zofia
""")
LAST = _list("""
    Adeyemi, Almeida, Andersen, Aydın, Baranov, Bergström, Bianchi, Castell, Chowdhury, Costa, Dahl,
    Delgado, Demir, Dvořák, Eriksen, Esposito, Farouk, Ferreira, Fischer, Fontaine, Gallo, García,
    Goldberg, Grimaldi, Haddad, Hansen, Hartmann, Horvat, Ibrahim, Ivanov, Jansen, Jiménez, Kaminski,
    Kapoor, Keller, Kowalczyk, Kruger, Lambert, Larsen, Lindholm, Lombardi, Maier, Marković, Mbeki,
    Mendes, Moreau, Müller, Nakamura, Navarro, Nguyen, Nielsen, Novak, Okafor, Okoye, Olsen, Öztürk,
    Papadakis, Pavlov, Petrov, Quist, Rahman, Ricci, Romero, Rossi, Sato, Schubert, Silva, Tanaka, Torres,
    Vargas, Weber, Yılmaz
""")
HOUSE_STEM = _list("""
    Aldo, Belmo, Corvo, Dunla, Elvi, Fenna, Gorla, Hesto, Irwa, Jorvi, Kelda, Lorma, Mirga, Norve, Osta,
    Pelu, Quena, Rivo, Solta, Tarvo, Ulme, Velda, Wendo, Yarro
""")
HOUSE_END = _list("brek, dahm, fält, gast, holt, lund, mark, wies")
HOUSE_KIND = _list("""
    Clinic, Hospital, Infirmary, Sanatorium, Spital, Lazaret, Polyclinic, Hospice, Medical Centre,
    Health House, Cottage Hospital, Teaching Hospital
""")
TOWNS = _list("""
    Ostrava Mill, Karlsfeld Bay, Port Selwin, Nieder Aue, Valdorra, Tre Fontane, Grünwinkel, Sankt Orsel,
    Molnby, Quarry Cross, Lago Verdin, Hollin Gate
""")
DOCTORS = _list("""
    Dr. Almeida, Dr. Bergström, Dr. Demir, Dr. Fontaine, Dr. Goldberg, Dr. Horvat, Dr. Kapoor,
    Dr. Lindholm, Dr. Mbeki, Dr. Nakamura, Dr. Okoye, Dr. Rossi
""")
SPECIALTIES = _list("""
    cardiology, neurology, urology, dermatology, nephrology, oncology, rheumatology, pulmonology,
    geriatrics, endocrinology, haematology, ophthalmology
""")
DRUG_CLASS = _pairs("""
    metoprolol: beta blocker, ramipril: ACE inhibitor, amlodipine: calcium antagonist,
    furosemide: loop diuretic, digoxin: cardiac glycoside, omeprazole: proton pump inhibitor,
    metformin: biguanide, sertraline: antidepressant, warfarin: anticoagulant,
    prednisolone: corticosteroid, amoxicillin: antibiotic, salbutamol: bronchodilator
""")
DISEASE_SIGN = _pairs("""
    pneumonia: crackles, asthma: wheezing, gout: tophi, psoriasis: silvery scales, measles: Koplik spots,
    hepatitis: jaundice, heart failure: ankle oedema, migraine: visual aura,
    glaucoma: raised eye pressure, anaemia: pallor, pancreatitis: raised lipase, hyperthyroidism: goitre
""")
DEVICES = _list("Orion, Vega, Lyra, Altair, Rigel, Corvus, Draco, Hydra, Antares, Castor, Deneb, Mizar")
PLACES = _list("""
    east wing, west wing, basement, ground floor, second floor, garden house, north tower, old chapel,
    annex, rooftop unit, day surgery, emergency hall
""")
ORGAN_SYSTEM = _pairs("""
    heart: circulatory, lung: respiratory, stomach: digestive, kidney: urinary, brain: nervous,
    femur: skeletal, biceps: muscular, thyroid: endocrine, skin: integumentary, spleen: lymphatic,
    ovary: reproductive, trachea: respiratory
""")
INSTRUMENT_MEASURE = _pairs("""
    spirometer: lung volume, thermometer: temperature, sphygmomanometer: blood pressure,
    glucometer: blood sugar, oximeter: oxygen saturation, tonometer: eye pressure, audiometer: hearing,
    dynamometer: grip strength, goniometer: joint angle, densitometer: bone density,
    electrocardiograph: heart rhythm, hygrometer: humidity
""")
CONDITION_FIELD = _pairs("""
    cataract: ophthalmology, eczema: dermatology, epilepsy: neurology, leukaemia: haematology,
    cystitis: urology, angina: cardiology, lupus: rheumatology, diabetes: endocrinology,
    schizophrenia: psychiatry, otitis: otology, scoliosis: orthopaedics, colitis: gastroenterology
""")
PROCEDURES = _list("""
    appendectomy, hip replacement, cataract surgery, hernia repair, tonsillectomy, gallbladder removal,
    knee arthroscopy, heart bypass, thyroidectomy, spinal fusion, skin graft, carpal release
""")
BLOOD_GROUPS = _list("""
    A positive, A negative, B positive, B negative, AB positive, AB negative, O positive, O negative
""")
ALLERGENS = _list("""
    penicillin, latex, peanuts, iodine, aspirin, bee venom, nickel, shellfish, ragweed, codeine,
    egg white, dust mites
""")
OCCUPATIONS = _list("""
    carpenter, teacher, beekeeper, tram driver, librarian, welder, florist, cook, translator, surveyor,
    tailor, fisherman
""")
WARDS = _list("Linden, Maple, Cedar, Aspen, Juniper, Rowan, Willow, Larch")
MODALITIES = _list("X-ray, CT scan, MRI scan, ultrasound, PET scan, fluoroscopy, angiography, scintigraphy")
STAFF = _list("Ms Costa, Mr Dahl, Ms Farouk, Mr Gallo, Ms Ivanov, Mr Jansen, Ms Larsen, Mr Novak")
PRIORITIES = _list("routine, urgent, elective, same-day, deferred, preoperative, overnight, critical")
ROOMS = _list("B12, B14, C07, C21, D03, D18, E05, E30")
VIEWS = _list("frontal, lateral, oblique, axial, coronal, sagittal, decubitus, tangential")
CONTRASTS = _list("iohexol, gadobutrol, barium, iopamidol, gadoterate, saline, microbubbles, iodixanol")
POSTURES = _list("standing, supine, prone, seated, half upright, left lateral, right lateral, kneeling")
SYMPTOMS = _list("""
    cough, chest pain, dizziness, fever, back pain, weight loss, night sweats, hoarseness, nausea,
    fainting, headache, breathlessness
""")
DURATIONS = _list("""
    two days, five days, one week, three weeks, two months, half a year, one year, ten years
""")
TRIGGERS = _list("a fall, infection, long flight, heavy lifting, smoke, new drug, insect bite, cold bath")
FINDINGS = _list("""
    pleural effusion, enlarged heart, rib fracture, lung nodule, kidney stone, disc prolapse, liver cyst,
    joint effusion, free air, pulmonary oedema, aortic sclerosis, hiatal hernia
""")
SITES = _list("left apex, right apex, left base, right base, midline, upper lobe, lower lobe, hilum")
SIZES = _list("4 mm, 7 mm, 11 mm, 15 mm, 22 mm, 28 mm, 35 mm, 60 mm")
CERTAINTIES = _list("proven, probable, possible, doubtful, unlikely, confirmed, pending, disputed")
NEXT_STEPS = _list("""
    biopsy, repeat film, discharge, physiotherapy, blood panel, bronchoscopy, bed rest, second opinion
""")
EMBLEMS = _list("""
    heron, oak leaf, lantern, anchor, white stag, sundial, swan, bridge, beehive, compass, owl, wheel
""")
CHIEFS = _list("""
    Prof. Adeyemi, Prof. Castell, Prof. Dvořák, Prof. Eriksen, Prof. Grimaldi, Prof. Hartmann,
    Prof. Jiménez, Prof. Kruger, Prof. Maier, Prof. Öztürk, Prof. Sato, Prof. Vargas
""")
YEARS = tuple(str(year) for year in range(1812, 1992, 15))
BEDS = tuple(str(beds) for beds in range(84, 900, 68))
HOURS = _list("1 pm, 2 pm, 3 pm, 4 pm, 5 pm, 6 pm, 9 am, 10 am, 11 am, noon, 7 pm, 8 am")
ARCHIVES = _list("Scriba, Folio, Cartella, Mnemo, Registro, Arkiv, Ledgerly, Tabula")
NOTES = _list("""
    Ward note, Handover note, Discharge letter, Admission form, Round sheet, Night report, Nursing chart,
    Referral slip
""")
MONTHS = _list("""
    January, February, March, April, May, June, July, August, September, October, November, December
""")
