from django.contrib import admin

from . import models

admin.site.register(models.Shelf)
admin.site.register(models.StockPlace)
