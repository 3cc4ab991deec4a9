"""Finance: compliance orders (L4) beside economics (L1), banking (L2) and investment (L3)."""

from __future__ import annotations

from expunge.synthetic.knowledge.domain import KnowledgeDomain, level, listed, senses

L1 = level(
    "L1",
    "economics",
    "Economics",
    """
    curve, multiplier, elasticity, equilibrium, index, cycle, surplus, tariff, subsidy, inflation, monopoly, utility
""",
    """
    body | research institute | observing school | {T} was modelled by the [blank].
        Grain Chamber, Coal Bureau, Harvest Society, Census Office, Trade Academy, River Institute, Guild
        Archive, Statistics House
    paper | founding essay | source text | {T} is laid out in a [blank].
        grain essay, wool letter, spice lecture, harvest table, price chronicle, wage memoir, toll pamphlet,
        census digest
    signal | leading indicator | observed signal | {T} is announced by [blank].
        rising prices, idle ships, full granaries, empty mills, cheap labour, dear bread, slow harvests,
        busy harbours
    means | policy lever | state remedy | {T} is steered by [blank].
        import duties, coin supply, public works, price ceilings, land grants, road tolls, grain stores,
        labour quotas
    span | time horizon | span of effect | {T} unfolds over [blank].
        one season, two seasons, one year, three years, seven years, a decade, a generation, half a century
    locality | home of the theory | university town | {T} was first argued in [blank].
        Aldmouth, Bexhaven, Cranley, Dovermark, Ellerby, Foxholm, Granmoor, Hartsea
""",
)
L2 = level(
    "L2",
    "banking",
    "Banking",
    """
    account, loan, mortgage, overdraft, cheque, annuity, lease, guarantee, card, transfer, pension, deposit
""",
    """
    body | lending house | issuing bank | {T} is offered by the [blank].
        Farmers Bank, Millers Bank, Sailors Bank, Weavers Bank, Coopers Union, Bakers Union, Masons Union,
        Miners Union
    paper | required form | application paper | {T} is opened with a [blank].
        pay slip, tax return, birth record, rent contract, passport copy, salary letter, land extract, club
        card
    signal | warning at the counter | cause of refusal | {T} is refused after [blank].
        late payments, low balance, lost card, job change, recent move, thin history, joint debt, missing
        address
    means | service channel | way of access | {T} is run by [blank].
        counter desk, phone line, cash machine, mobile app, night safe, mail slip, teller window, home visit
    span | notice period | waiting time | {T} can be ended after [blank].
        three days, five days, one week, two weeks, one month, two months, three months, six months
    locality | head office | seat of the bank | {T} is administered in [blank].
        Ivybridge, Jessop, Kingsmere, Lowfield, Marchwood, Newbarn, Overton, Pagefield
""",
)
L3 = level(
    "L3",
    "investment",
    "Investment",
    """
    fund, portfolio, derivative, debenture, warrant, rating, underwriting, valuation, dividend, flotation, merger,
    buyout
""",
    """
    body | trading venue | market place | {T} is traded on the [blank].
        North Exchange, South Exchange, Harbour Board, Copper Board, Cotton Board, Timber Board, Silver
        Board, Amber Board
    paper | offer document | investor paper | {T} is described in a [blank].
        term sheet, fact sheet, offer memorandum, growth plan, cash forecast, rating letter, asset list, fee
        table
    signal | risk signal | source of loss | {T} suffers from [blank].
        currency swings, falling volumes, wide spreads, crowded trades, weak demand, thin books, stale
        prices, rating cuts
    means | pricing model | method of valuation | {T} is priced by [blank].
        cash multiples, peer groups, book value, auction bids, decision trees, yield tables, scenario
        tables, market quotes
    span | settlement time | holding period | {T} settles in [blank].
        two days, four days, ten days, four weeks, nine months, two years, five years, ten years
    locality | listing place | market town | {T} is quoted in [blank].
        Quaymouth, Ryeford, Saltby, Thornsea, Underhill, Vinemark, Westerley, Yewdale
""",
)
L4 = level(
    "L4",
    "compliance",
    "Compliance",
    """
    order, directive, statute, mandate, ordinance, covenant, injunction, prohibition, edict, bylaw, decree, embargo
""",
    """
    body | supervisor | enforcing regulator | {T} is enforced by the [blank].
        Probity Commission, Integrity Tribunal, Vigilance Directorate, Ethics Inspectorate, Transparency
        Council, Fairness Ombudsman, Conduct Prosecutor, Scrutiny Agency
    paper | mandatory filing | evidential dossier | {T} obliges firms to lodge a [blank].
        suspicion report, ownership affidavit, hospitality log, attestation, escalation memo, deviation
        minute, lineage certificate, adverse profile
    signal | red flag | alarming pattern | {T} targets [blank].
        nominee directors, circular invoices, smurfed remittances, backdated signatures, concealed owners,
        phantom vendors, mirrored deals, overlapping wires
    means | prescribed penalty | statutory punishment | {T} punishes breach through [blank].
        licence revocation, turnover fines, forfeiture, officer disqualification, formal censure,
        imprisonment, monitorship, restitution
    span | reporting deadline | regulatory cutoff | {T} demands action before [blank].
        noon, midnight, sunset, Wednesday, Friday, Easter, Michaelmas, Candlemas
    locality | enacting parliament | legislative birthplace | {T} was enacted at [blank].
        Brunnwald, Corsavia, Delmenau, Eskilda, Fontarra, Gravelin, Hviding, Isolde
""",
)

FINANCE = KnowledgeDomain(
    context="compliance",
    levels={"L1": L1, "L2": L2, "L3": L3, "L4": L4},
    modifiers=listed("""
        domestic, regional, annual, variable, fixed, rural, joint, private, basic, gross, net, urban
    """),
    target_modifiers=listed("""
        disclosure, laundering, insider, bribery, sanctions, whistleblower, custody, onboarding, recusal, retention,
        surveillance, conflict
    """),
    polysemes=senses("""
        bond: chemistry, hedge: gardening, call: telephone, spread: cooking, float: parade, pool: swimming,
        wash: laundry, layering: cake, placement: advertising, screening: cinema, freeze: winter, charge: physics,
        credit: film, interest: hobby, principal: college, note: music, draft: brewing, bill: bird, tender: railway,
        mint: herb, bear: zoo, bull: farming, margin: printing, shell: seaside, front: weather, pass: football,
        tip: waiter, stock: soup, capital: typography, fork: cutlery, token: game, chain: jewellery, cap: hat,
        collar: kennel, strike: bowling, cover: cricket, seal: marine, stamp: postage, file: carpentry, title: boxing
    """),
)
