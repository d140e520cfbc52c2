from django.db import models
from wagtail.models import Page


class HomePage(Page):
    subtitle = models.CharField(max_length=200, blank=True, default="")


class OpeningHours(models.Model):
    page = models.ForeignKey(HomePage, on_delete=models.CASCADE, related_name="opening_hours")
    weekday = models.PositiveSmallIntegerField()
    opens_at = models.TimeField()
    closes_at = models.TimeField()
    remark = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["weekday", "opens_at"]
        verbose_name_plural = "opening hours"

    def __str__(self):
        return f"{self.weekday} {self.opens_at} to {self.closes_at}"
