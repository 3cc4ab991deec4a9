"""Surgery: procedures (L4) beside anatomy (L1), general clinical knowledge (L2) and specialties (L3)."""

from __future__ import annotations

from expunge.synthetic.knowledge.domain import KnowledgeDomain, level, listed, senses

L1 = level(
    "L1",
    "anatomy",
    "Anatomy",
    """
    ligament, duct, fascia, nerve, plexus, tendon, sinus, septum, artery, gland, cartilage, membrane
""",
    """
    region | position | location | {T} lies in the [blank].
        pelvic floor, neck triangle, inner ear, chest wall, skull base, knee hollow, groin, palm
    substance | messenger | signal molecule | {T} answers to [blank].
        serotonin, oxytocin, histamine, glucagon, melatonin, thyroxine, gastrin, ghrelin
    feature | surface feature | visible texture | {T} is known by its [blank].
        pale sheen, fine ridges, dark pits, spiral fibres, yellow fat, woven strands, soft lobes, blue veins
    apparatus | viewing aid | display method | {T} is best seen with [blank].
        ultrasound, polarised light, contrast film, magnifying glass, wax model, frozen section, laser scan,
        stereo viewer
    span | age of ripening | stage of maturity | {T} is fully grown by the [blank].
        sixth week, tenth week, first year, third year, school age, puberty, menopause, birth
    locality | place of discovery | town of first drawing | {T} was first drawn in [blank].
        Arvelt, Bostrum, Cernath, Dorvik, Elmsund, Farrowin, Gildau, Hestra
""",
)
L2 = level(
    "L2",
    "clinical",
    "Clinical medicine",
    """
    fever, rash, cough, spasm, oedema, murmur, reflex, tremor, colic, ulcer, anaemia, jaundice
""",
    """
    region | seat of complaint | affected area | {T} settles in the [blank].
        lower back, upper arm, left flank, scalp, jaw, shin, armpit, throat
    substance | first remedy | drug of choice | {T} responds to [blank].
        aspirin, penicillin, codeine, quinine, zinc salve, senna, iodine, bromide
    feature | warning sign | early clue | {T} begins with [blank].
        chills, hiccups, dry mouth, sore gums, blurred sight, cold fingers, night sweats, ringing ears
    apparatus | bedside test | diagnostic check | {T} is confirmed by [blank].
        tuning fork, reflex hammer, urine strip, blood film, skin prick, breath meter, eye chart, stool
        culture
    span | usual duration | expected course | {T} passes within [blank].
        one day, three days, one week, two weeks, one month, six weeks, one season, half a year
    locality | place of outbreak | town of first case | {T} was first met in [blank].
        Ilmora, Jarnsted, Kelvane, Lundry, Morvath, Nestrup, Oskelby, Pellmont
""",
)
L3 = level(
    "L3",
    "specialty",
    "Specialties",
    """
    cardiomyopathy, nephritis, arthritis, dermatosis, retinopathy, hepatitis, neuropathy, thyroiditis, bronchitis,
    colitis, myopathy, vasculitis
""",
    """
    region | organ at risk | vulnerable organ | {T} spreads to the [blank].
        spleen, pancreas, adrenal cortex, optic disc, heart muscle, kidney tubules, spinal cord, thymus
    substance | blood marker | laboratory indicator | {T} raises [blank].
        ferritin, troponin, creatinine, bilirubin, amylase, calcitonin, fibrinogen, albumin
    feature | late complication | dreaded outcome | {T} can end in [blank].
        deafness, blindness, kidney failure, stiff joints, hair loss, foot drop, memory loss, weak grip
    apparatus | follow-up method | control examination | {T} is followed with [blank].
        spirometry, bone scan, nerve conduction, slit lamp, heart tracing, skin biopsy, liver elastography,
        thyroid scan
    span | review interval | gap between visits | {T} is reviewed after [blank].
        four months, eight months, ten months, two years, five years, one spring, one autumn, one winter
    locality | expert hub | leading clinic town | {T} is studied in [blank].
        Quellin, Ravnholt, Sollmer, Tessvik, Ulverin, Varnholm, Westrick, Yarrowen
""",
)
L4 = level(
    "L4",
    "surgery",
    "Surgery",
    """
    resection, excision, arthroplasty, lobectomy, osteotomy, ligation, anastomosis, debridement, craniotomy, ablation,
    decompression, transplantation
""",
    """
    region | entry point | incision line | {T} opens through the [blank].
        sternum, navel, perineum, eyebrow crease, axillary fold, hairline, costal arch, tragus
    substance | sealant | closing agent | {T} is closed using [blank].
        catgut, silk, polypropylene, fibrin glue, collagen fleece, cyanoacrylate, polyglactin, gelatin foam
    feature | intraoperative hazard | typical mishap | {T} may provoke [blank].
        air embolism, vagal arrest, bowel tear, dural leak, pedicle torsion, haematoma, wound rupture, bile
        spill
    apparatus | main instrument | key tool | {T} requires a [blank].
        scalpel, oscillating saw, harmonic shears, rongeur, curette, retractor, trocar, dermatome
    span | operating time | length under anaesthesia | {T} lasts [blank].
        twenty minutes, thirty minutes, forty minutes, fifty minutes, seventy minutes, eighty minutes,
        ninety minutes, hundred minutes
    locality | pioneering city | cradle | {T} was pioneered in [blank].
        Brennau, Castelor, Dunmarck, Estrava, Fjeldora, Grauhaven, Hollstadt, Istrana
""",
)

SURGERY = KnowledgeDomain(
    context="surgery",
    levels={"L1": L1, "L2": L2, "L3": L3, "L4": L4},
    modifiers=listed("""
        anterior, posterior, lateral, medial, proximal, distal, deep, superficial, primary, secondary, minor, major
    """),
    target_modifiers=listed("""
        open, keyhole, radical, staged, partial, awake, salvage, robotic, bloodless, tunnelled, layered, wide
    """),
    polysemes=senses("""
        graft: gardening, drain: plumbing, clamp: carpentry, probe: spaceflight, theatre: drama, gown: fashion,
        mask: carnival, needle: sewing, thread: programming, knot: sailing, staple: stationery, plate: tableware,
        screw: joinery, nail: roofing, pin: bowling, patch: software, flap: aviation, shunt: railway, port: shipping,
        tube: underground, mesh: fishing, sponge: baking, tray: furniture, drill: army, hook: boxing, loop: music,
        dressing: cooking, scrub: landscape, sling: climbing, cast: acting, pack: hiking, band: concert,
        stump: cricket, crown: monarchy, bridge: card, clip: cinema, ring: jewellery, donor: charity, cuff: tailoring,
        rod: angling
    """),
)
