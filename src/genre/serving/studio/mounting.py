"""The studio in the service's app."""

from __future__ import annotations

import os
from typing import Final

from fastapi import FastAPI, Response
from starlette.routing import Mount

from genre.serving.guard import ICON, STUDIO
from genre.serving.service import Service
from genre.serving.studio.door import Door

_SETTINGS: Final = {
    # Nothing is told to Gradio's makers.
    "GRADIO_ANALYTICS_ENABLED": "False",
    # It would sum up how long its last 10,000 handlers took after each of them, which nobody reads here.
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
    "GRADIO_ANALYTICS_MAX_EVENTS": "100",
}
"""What Gradio reads from the environment, and nowhere else."""
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b6e99"/>'
    '<path d="M22 12a7 7 0 1 0 1 5h-6" fill="none" stroke="#fff" stroke-width="3.2" stroke-linecap="round"/></svg>'
)


def mount_studio(app: FastAPI, service: Service) -> FastAPI:
    """Add the page for people at `/studio`.

    It uses the service in the same process and on the same event loop, so that all limits hold for it too. Nothing is
    loaded from elsewhere, nothing is told to anybody, and nothing that was done is kept in the browser.
    """
    os.environ |= _SETTINGS
    import gradio as gr

    from genre.serving.studio.page import look, make_page

    gr.mount_gradio_app(
        app,
        make_page(service),
        STUDIO,
        server_name=service.config.host,
        server_port=service.config.port,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=1,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        **look(),
    )

    @app.get(ICON, include_in_schema=False)
    async def icon() -> Response:
        return Response(_ICON, media_type="image/svg+xml")

    mounted = next(route for route in app.routes if isinstance(route, Mount) and route.path == STUDIO)
    mounted.app = Door(mounted.app, service)
    return app
