"""The studio: a page for people, on which all that a service does can be tried and watched."""

from genre.serving.studio.mounting import mount_studio as mount_studio
