"""What land seen from above is called: every drawn class with its other names, the plainest first."""

from __future__ import annotations

SYNONYMS: dict[str, tuple[str, ...]] = {
    "airplane": ("plane", "aircraft", "airliner", "parked airplane", "jet"),
    "airport terminal": ("airport apron", "airport gates", "aircraft at a terminal", "airport"),
    "apartment blocks": ("high-rise buildings", "apartment buildings", "tower blocks", "flats"),
    "baseball diamond": ("baseball field", "ballpark", "baseball infield", "softball field"),
    "basketball court": ("playground court", "outdoor basketball court"),
    "beach": ("seashore", "sandy coast", "shoreline", "sea coast", "sandy beach with waves"),
    "bridge": ("road bridge", "bridge over a river", "bridge over water"),
    "buildings": ("office buildings", "large rooftops", "city buildings", "commercial buildings", "downtown"),
    "campground": ("tents", "campsite", "caravans"),
    "canal": ("waterway", "ditch", "irrigation canal"),
    "cemetery": ("graveyard", "graves"),
    "chaparral": ("shrubland", "bushes", "scrub", "desert shrubs", "brush"),
    "circular fields": ("irrigated fields", "center pivot irrigation", "crop circles"),
    "construction site": ("building site", "excavators on soil", "earthworks"),
    "container port": ("shipping containers", "container terminal", "stacked containers", "freight containers"),
    "dense residential area": ("crowded houses", "dense housing", "housing blocks", "residential area"),
    "desert": ("bare land", "sand", "dunes", "barren land"),
    "farm": ("farmhouse", "barn", "farm buildings", "homestead", "silos"),
    "farmland": ("agricultural land", "crops", "cropland", "fields", "agricultural", "crop field"),
    "football field": ("soccer field", "sports field", "athletic field", "pitch"),
    "forest": ("trees", "woods", "woodland", "tree cover", "dense trees"),
    "glacier": ("ice", "snowy land", "snow"),
    "golf course": ("golf green", "fairway", "golf links", "sand bunkers"),
    "greenhouses": ("glasshouses", "plant nursery", "polytunnels"),
    "harbor": ("marina", "port", "boats", "boats at docks", "harbour", "yachts"),
    "highway": ("freeway", "motorway", "expressway", "highway lanes", "road with cars"),
    "industrial area": ("factory", "industrial buildings", "industrial plant"),
    "intersection": ("crossroads", "street crossing", "road junction", "crossing streets"),
    "island": ("small island", "islet"),
    "lake": ("body of water", "reservoir", "lakeshore"),
    "wind farm": ("wind turbines", "wind turbine", "windmills"),
    "meadow": ("grassland", "pasture", "grass field", "lawn"),
    "medium residential area": ("houses with gardens", "suburban houses", "residential area", "neighborhood"),
    "mobile home park": ("trailer park", "mobile homes", "trailers", "caravan park"),
    "orchard": ("rows of trees", "plantation", "fruit trees", "grove"),
    "overpass": ("flyover", "road bridge over a road", "highway overpass", "interchange", "viaduct"),
    "park": ("city park", "trees and paths", "public garden"),
    "parking lot": ("car park", "parked cars", "rows of cars", "parking space"),
    "pier": ("jetty", "wharf", "dock"),
    "pond": ("small pond", "pool of water", "water hole"),
    "power plant": ("power station", "cooling towers", "thermal power station"),
    "quarry": ("open pit mine", "gravel pit", "mine"),
    "railway": ("railroad tracks", "train tracks", "rails", "railroad"),
    "residential area": ("houses", "suburb", "homes", "residential houses"),
    "river": ("stream", "winding river", "creek"),
    "roundabout": ("traffic circle", "rotary"),
    "running track": ("athletics track", "stadium track", "ground track field"),
    "runway": ("airstrip", "airport runway", "landing strip", "taxiway"),
    "ships": ("ship at sea", "vessel", "cargo ship", "boat on the water"),
    "solar farm": ("solar panels", "photovoltaic plant"),
    "sparse residential area": ("house among trees", "country house", "lone house", "villa with a garden"),
    "stadium": ("sports stadium", "arena"),
    "storage tanks": ("oil tanks", "fuel tanks", "round tanks", "tank farm"),
    "substation": ("transformer station", "electrical substation"),
    "swimming pool": ("pool", "houses with pools", "backyard pool"),
    "tennis court": ("tennis courts", "sports court"),
    "train station": ("trains", "railway station", "train yard", "railway cars"),
    "truck stop": ("parked trucks", "lorries", "bus depot", "buses"),
    "vineyard": ("vines", "rows of vines"),
    "warehouse": ("warehouses", "large flat roof", "distribution center", "logistics center", "large buildings"),
    "wetland": ("marsh", "swamp", "bog"),
}  # fmt: skip


def names_of(name: str) -> tuple[str, ...]:
    """All names of a drawn class."""
    return (name, *SYNONYMS.get(name, ()))


def all_names() -> list[str]:
    """Every name of drawn land, once."""
    return list(dict.fromkeys(one for name in SYNONYMS for one in names_of(name)))
