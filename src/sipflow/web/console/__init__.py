"""The console: pages for people, each with a JSON twin."""

from starlette.routing import Route

from sipflow.config import Settings
from sipflow.query.source import CallSource
from sipflow.web.cluster_status import ClusterNodes
from sipflow.web.console.aliases import names_of
from sipflow.web.console.assets import Assets
from sipflow.web.console.call_pages import CallPages
from sipflow.web.console.calls import CallList
from sipflow.web.console.dossier import Dossiers
from sipflow.web.console.effective_settings import EffectiveSettings
from sipflow.web.console.nodes import Nodes
from sipflow.web.console.now import Now
from sipflow.web.console.quality_page import QualityView
from sipflow.web.console.registrations import RegistrationsPage
from sipflow.web.console.statistics import StatisticsPage
from sipflow.web.sound import Sound
from sipflow.web.status import RecorderStatus


def routes(
    history: CallSource, sound: Sound, status: RecorderStatus, settings: Settings, nodes: ClusterNodes
) -> list[Route]:
    """Give the routes of all pages."""
    aliases = names_of(settings.aliases)
    dossiers = Dossiers(history, sound)
    return [
        *Assets().routes,
        *Now(history, status, settings, nodes).routes,
        *CallList(history).routes,
        *StatisticsPage(history, aliases).routes,
        *RegistrationsPage(history).routes,
        *CallPages(history, dossiers, aliases, more={"quality": QualityView(dossiers).page}).routes,
        *Nodes(status, settings, nodes).routes,
        *EffectiveSettings(nodes.settings).routes,
    ]
