"""Mental health: disorders (L4) beside psychology (L1), general medicine (L2) and neurology (L3)."""

from __future__ import annotations

from expunge.synthetic.knowledge.domain import KnowledgeDomain, level, listed, senses

L1 = level(
    "L1",
    "psychology",
    "Psychology",
    """
    illusion, heuristic, instinct, habit, bias, percept, emotion, appetite, recall, imagery, temperament, alertness
""",
    """
    circuit | brain area | neural seat | {T} engages the [blank].
        cerebellum, brain stem, optic lobe, olfactory bulb, motor strip, thalamus, visual cortex, auditory
        cortex
    compound | neurotransmitter | chemical carrier | {T} depends on [blank].
        acetylcholine, adrenaline, glutamate, glycine, oxytocin, melatonin, vasopressin, orexin
    behaviour | everyday expression | ordinary display | {T} comes out as [blank].
        yawning, blushing, blinking, smiling, humming, frowning, nodding, gazing
    measure | laboratory task | experimental probe | {T} is studied with the [blank].
        maze run, card sorting, digit span, tone matching, mirror drawing, word list, picture naming,
        reaction timer
    span | age of appearance | developmental stage | {T} appears by [blank].
        infancy, second year, fourth year, sixth year, school entry, early teens, voting age, midlife
    locality | home of the first study | university town | {T} was first studied in [blank].
        Ardleth, Brockvel, Colmarin, Dunvar, Eastmere, Fenrick, Garvold, Hulmeck
""",
)
L2 = level(
    "L2",
    "general-medicine",
    "General medicine",
    """
    headache, insomnia, fatigue, fever, dizziness, palpitation, nausea, tremor, indigestion, backache, vertigo, rash
""",
    """
    circuit | bodily seat | organ involved | {T} arises in the [blank].
        inner ear, stomach, thyroid, heart, liver, neck muscles, sinuses, gut wall
    compound | usual medicine | first prescription | {T} is eased by [blank].
        paracetamol, ibuprofen, magnesium, iron tablets, antihistamine, ginger, caffeine, quinine
    behaviour | accompanying complaint | companion symptom | {T} goes together with [blank].
        sneezing, sweating, shivering, coughing, belching, limping, scratching, fainting
    measure | office check | routine examination | {T} is checked by the [blank].
        blood count, pulse rate, weight chart, urine dip, eye test, blood pressure, temperature curve,
        hearing test
    span | recovery period | length of illness | {T} clears up after [blank].
        one night, two days, five days, one week, ten days, three weeks, one month, two months
    locality | town of first report | place of record | {T} was recorded in [blank].
        Ivelstow, Jorvane, Kestow, Lambrook, Marfield, Netherby, Oakvern, Pennwick
""",
)
L3 = level(
    "L3",
    "neurology",
    "Neurology",
    """
    epilepsy, dementia, migraine, ataxia, chorea, neuropathy, aphasia, narcolepsy, paralysis, encephalitis, dystonia,
    sclerosis
""",
    """
    circuit | lesion site | damaged structure | {T} injures the [blank].
        basal ganglia, spinal roots, myelin sheath, corpus callosum, optic nerve, brachial plexus, motor
        neurons, dura
    compound | neurological drug | specialist medication | {T} is managed with [blank].
        valproate, baclofen, levodopa, gabapentin, triptans, donepezil, interferon, botulinum
    behaviour | neurological sign | bedside finding | {T} produces [blank].
        stumbling, slurring, twitching, drooping, jerking, squinting, dragging, drooling
    measure | imaging method | specialist test | {T} is located by the [blank].
        scalp tracing, lumbar puncture, nerve scan, spinal film, muscle study, sleep lab, gait mat, head
        scan
    span | visit interval | time between visits | {T} is seen again after [blank].
        four months, half a year, nine months, one year, two years, three years, five years, a decade
    locality | specialist clinic | referral town | {T} is referred to [blank].
        Quorndale, Redmarsh, Stanvik, Thornby, Upwater, Velsted, Wrenfold, Yarnley
""",
)
L4 = level(
    "L4",
    "mental-disorders",
    "Mental disorders",
    """
    phobia, mania, psychosis, delusion, dysmorphia, addiction, bulimia, hoarding, kleptomania, mutism, paranoia,
    dissociation
""",
    """
    circuit | faulty network | overactive hub | {T} disturbs the [blank].
        amygdala, hippocampus, insula, nucleus accumbens, cingulate gyrus, prefrontal loop, habenula,
        precuneus
    compound | psychotropic | psychiatric agent | {T} improves under [blank].
        lithium, clozapine, fluoxetine, naltrexone, lamotrigine, buspirone, mirtazapine, haloperidol
    behaviour | core conduct | defining ritual | {T} reveals itself through [blank].
        counting tiles, rattling locks, binge eating, whispering alone, pacing corridors, plucking
        eyelashes, hiding food, refusing gifts
    measure | rating scale | diagnostic interview | {T} is scored using the [blank].
        thought diary, vignette panel, urge ladder, dread gauge, belief grid, trust ledger, grief matrix,
        fear barometer
    span | diagnostic threshold | minimum persistence | {T} must persist for [blank].
        forty hours, sixty hours, rainy fortnights, lunar cycles, whole semesters, eleven Sundays, twelve
        Mondays, ninety mornings
    locality | founding asylum | earliest casebook | {T} entered psychiatry at [blank].
        Mirandel, Nordhus, Ostavia, Polvara, Rimbaldo, Sanvere, Trevanio, Umbrak
""",
)

MENTAL_HEALTH = KnowledgeDomain(
    context="psychiatry",
    levels={"L1": L1, "L2": L2, "L3": L3, "L4": L4},
    modifiers=listed("""
        late, mild, severe, simple, mixed, frequent, rare, familial, primary, secondary, common, slow
    """),
    target_modifiers=listed("""
        avoidant, obsessive, bipolar, schizoid, catatonic, hysteric, compulsive, melancholic, borderline, reactive,
        episodic, puerperal
    """),
    polysemes=senses("""
        depression: weather, trance: nightclub, panic: market, projection: cinema, denial: court, repression: politics,
        complex: chemistry, compulsion: law, attachment: mailing, flooding: river, exposure: photography,
        fusion: physics, withdrawal: banking, flight: aviation, anchoring: sailing, shadow: optics,
        reflection: geometry, regression: statistics, displacement: hydraulics, resistance: electronics,
        conditioning: haircare, extinction: fossil, reinforcement: concrete, shaping: pottery, priming: painting,
        cue: billiards,
        episode: television, phase: astronomy, attack: chess, mood: grammar, splitting: logging, battery: electricity,
        inventory: retail, session: parliament, tension: engineering, stress: phonetics, burnout: rocketry,
        switch: railway, grounding: wiring, tolerance: machining
    """),
)
