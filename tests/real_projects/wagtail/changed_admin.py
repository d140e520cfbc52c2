from django.contrib import admin

from .models import OpeningHours

admin.site.register(OpeningHours)
